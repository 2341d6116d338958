from pathlib import Path

import pytest
import torch
from torch import nn

timm = pytest.importorskip("timm")

from conr.models import DepthEncoder, DepthHead  # noqa: E402  after the check


def small(backbone: str = "test_resnet") -> DepthEncoder:
    return DepthEncoder(backbone, features=12, fused=4)


@pytest.mark.parametrize("size", [(44, 60), (57, 75), (33, 32)])
def test_the_map_is_half_as_large_as_the_image_rounded_up(size: tuple[int, int]) -> None:
    encoder = small().eval()
    features = encoder(torch.rand(2, 3, *size))
    assert features.shape == (2, 12, (size[0] + 1) // 2, (size[1] + 1) // 2)
    assert encoder.out_features == 12
    assert DepthHead(12)(features).shape == (2, 1, *features.shape[2:])
    assert DepthHead(12, 2)(features).shape == (2, 2, *features.shape[2:])


@pytest.mark.parametrize("backbone", ["test_convnext", "test_efficientnet"])
def test_other_backbones(backbone: str) -> None:
    """ConvNeXt has no stage of half the size; EfficientNet's stages are narrow."""
    assert small(backbone).eval()(torch.rand(1, 3, 64, 96)).shape == (1, 12, 32, 48)


def test_the_published_network() -> None:
    """ResNet-50, 304 x 228: four stages; D halves 1024 channels down to 64; 64 from MFF; a map of 128 x 114 x 152."""
    with torch.device("meta"):
        encoder = DepthEncoder()
        features = encoder(torch.empty(1, 3, 228, 304))
        depth = DepthHead()(features)
    assert encoder.backbone.feature_info.channels() == [64, 256, 512, 1024, 2048]  # type: ignore[operator, union-attr]
    assert encoder.used == [1, 2, 3, 4]
    widths = [step.shortcut[0].out_channels for step in encoder.decoder]  # type: ignore[index, union-attr]
    assert widths == [512, 256, 128, 64]
    assert next(encoder.refine.parameters()).shape[1] == 128
    assert (features.shape, depth.shape) == ((1, 128, 114, 152), (1, 1, 114, 152))


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(small(), DepthHead(12))
    model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not unused


def test_pixels_far_apart_see_each_other_only_through_the_backbone() -> None:
    """A map entry depends on its image alone, not on the others of the batch, once batch norm is in eval mode."""
    encoder = small().eval()
    images = torch.rand(3, 3, 44, 60)
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]), atol=1e-5, rtol=1e-4)


def test_weights_of_the_backbone_come_from_a_file(tmp_path: Path) -> None:
    network = timm.create_model("test_resnet")
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    encoder = DepthEncoder("test_resnet", features=12, fused=4, pretrained_path=tmp_path / "weights.pth")
    loaded = encoder.backbone.state_dict()
    assert len(loaded) > 50
    for name, value in loaded.items():
        assert torch.equal(value, network.state_dict()[name]), name


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    weights = timm.create_model("test_resnet").state_dict()
    weights.pop("layer2.0.conv1.weight")
    torch.save(weights, tmp_path / "gap.pth")
    with pytest.raises(ValueError, match=r"pretrained_path: expected weights of test_resnet .*layer2.0.conv1"):
        DepthEncoder("test_resnet", pretrained_path=tmp_path / "gap.pth")
    with pytest.raises(FileNotFoundError, match="pretrained_path: expected a file of weights, found none"):
        DepthEncoder("test_resnet", pretrained_path=tmp_path / "nothing.pth")


def test_wrong_settings_and_inputs() -> None:
    with pytest.raises(
        ValueError, match=r"backbone: expected a network that timm .* knows, got 'resnet5'; did you mean"
    ):
        DepthEncoder("resnet5")
    with pytest.raises(ValueError, match="features: expected a number of at least 1, got 0"):
        DepthEncoder("test_resnet", features=0)
    with pytest.raises(ValueError, match="fused: expected a number of at least 1, got 0"):
        DepthEncoder("test_resnet", fused=0)
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 3, height, width\), got \(1, 1, 32, 32\)"):
        small()(torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match=r"features: expected shape \(n, 12, height, width\), got \(2, 12\)"):
        DepthHead(12)(torch.rand(2, 12))
    with pytest.raises(ValueError, match="in_features: expected a number of at least 1, got 0"):
        DepthHead(0)
