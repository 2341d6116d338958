from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from conr.models import TimmEncoder

SMALL = "test_resnet"


# Of several families; mobilenetv4 has a layer between pooling and classifier, that of vit is a norm.
@pytest.mark.parametrize(
    "name", [SMALL, "test_vit", "test_efficientnet", "test_convnext", "mobilenetv4_conv_small_035"]
)
def test_features_are_what_the_classifier_sees(name: str) -> None:
    torch.manual_seed(0)
    encoder = TimmEncoder(name).eval()
    whole: Any = timm.create_model(name, pretrained=False, num_classes=7).eval()
    images = torch.rand(2, *whole.pretrained_cfg["input_size"])
    whole.load_state_dict(encoder.network.state_dict(), strict=False)
    seen: list[torch.Tensor] = []
    whole.get_classifier().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        features = encoder(images)
        whole(images)
    assert features.shape == (2, encoder.out_features)
    torch.testing.assert_close(features, seen[0])


def test_resnet_50_of_the_age_benchmarks_starts_by_he_initialisation() -> None:
    torch.manual_seed(0)
    encoder = TimmEncoder("resnet50", options={"zero_init_last": False})
    assert encoder.out_features == 2048
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 23_508_032  # ResNet-50 without classifier
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()


def test_other_numbers_of_channels() -> None:
    encoder = TimmEncoder(SMALL, in_channels=1)
    assert encoder(torch.rand(2, 1, 32, 32)).shape == (2, encoder.out_features)
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 1, height, width\), got \(2, 3, 32, 32\)"):
        encoder(torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 1, height, width\), got \(1, 32, 32\)"):
        encoder(torch.rand(1, 32, 32))


@pytest.mark.parametrize("kind", ["safetensors", "torch", "wrapped"])
def test_weights_come_from_a_file(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    trained = timm.create_model(SMALL, pretrained=False, num_classes=1000)
    weights = trained.state_dict()
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights, "epoch": 3} if kind == "wrapped" else weights, path)
    encoder = TimmEncoder(SMALL, pretrained_path=str(path))
    for key, value in encoder.network.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    weights = timm.create_model(SMALL, pretrained=False).state_dict()
    message = rf"pretrained_path: expected weights of {SMALL} with 3 channels in .*weights\.pth, got "
    first = next(iter(weights))
    missing = {key: value for key, value in weights.items() if key != first}
    for wrong, reason in (
        (missing, "1 missing \\(as"),
        (weights | {"more": weights[first]}, r"1 that do not fit \(as 'more'\)"),
    ):
        torch.save(wrong, path)
        with pytest.raises(ValueError, match=f"{message}{reason}"):
            TimmEncoder(SMALL, pretrained_path=path)
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"with 1 channels in .*, got 1 missing \(as .* and 1 that do not fit"):
        TimmEncoder(SMALL, in_channels=1, pretrained_path=path)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"pretrained_path: expected a file of weights, found none at .*none\.pt"
    ):
        TimmEncoder(SMALL, pretrained_path=tmp_path / "none.pt")
    for name in ("broken.safetensors", "broken.pth", "empty.pth", "empty.safetensors"):
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"no weights")
        with pytest.raises(
            ValueError, match=rf"pretrained_path: expected tensors in .*{name}, got a broken file or other objects"
        ):
            TimmEncoder(SMALL, pretrained_path=tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"expected a dictionary of tensors in .*list\.pth, got list"):
        TimmEncoder(SMALL, pretrained_path=tmp_path / "list.pth")


def test_no_code_in_a_file_of_weights_is_run(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "module.pth")  # a pickled object
    with pytest.raises(ValueError, match=r"expected tensors in .*module\.pth, got a broken file or other objects"):
        TimmEncoder(SMALL, pretrained_path=tmp_path / "module.pth")


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"name: expected a network that timm .* knows, got 'resnet5'; did you mean 'resnet50"
    ):
        TimmEncoder("resnet5")
    with pytest.raises(ValueError, match=r"name: expected a network that timm .* knows, got 'hf-hub:someone/net'"):
        TimmEncoder("hf-hub:someone/net")
    with pytest.raises(ValueError, match=r"options: expected arguments that test_resnet takes, got {'colour': 1}"):
        TimmEncoder(SMALL, options={"colour": 1})
    with pytest.raises(ValueError, match="in_channels: expected a number of at least 1, got 0"):
        TimmEncoder(SMALL, in_channels=0)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"conr.models.TimmEncoder needs timm, .* pip install 'conr\[vision\]'"):
        TimmEncoder(SMALL)
