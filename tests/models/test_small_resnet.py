import pytest
import torch
from torch import nn

from conr.models import ImageEncoder, SmallResNet, TimmEncoder


@pytest.mark.parametrize("side", [32, 48, 96])
@pytest.mark.parametrize("blocks", [1, 2])
def test_features_of_small_pictures(side: int, blocks: int) -> None:
    encoder = SmallResNet(channels=(4, 8), blocks=blocks)
    assert encoder(torch.randn(3, 3, side, side)).shape == (3, encoder.out_features) == (3, 8)
    blocks_of = [module for module in encoder.modules() if type(module).__name__ == "_Block"]
    assert len(blocks_of) == 2 * blocks


def test_the_cost_that_is_documented() -> None:
    """Multiplications of convolutions for an image of 64 x 64."""

    def cost(encoder: SmallResNet) -> float:
        total = 0

        def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
            nonlocal total
            total += output[0].numel() * module.weight[0].numel()  # type: ignore[index]

        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        encoder(torch.zeros(1, 3, 64, 64))
        return total / 1e6

    assert round(cost(SmallResNet().eval())) == 49
    assert round(cost(SmallResNet(channels=(16, 32, 64)).eval())) == 13


def test_every_parameter_learns() -> None:
    encoder = SmallResNet(channels=(4, 8))
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in encoder.parameters()]
    for _ in range(2):  # the first step moves the scales of the blocks away from 0
        optimizer.zero_grad()
        encoder(torch.randn(8, 3, 32, 32)).square().sum().backward()
        optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": ()}, "channels: expected at least one stage, got none"),
        ({"channels": (8, 0)}, "channels: expected a number of at least 1, got 0"),
        ({"blocks": 0}, "blocks: expected a number of at least 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmallResNet(**settings)  # type: ignore[arg-type]


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 3, height, width\), got \(2, 1, 32, 32\)"):
        SmallResNet()(torch.zeros(2, 1, 32, 32))


def test_the_size_of_the_images_chooses_the_network() -> None:
    assert isinstance(ImageEncoder(95).network, SmallResNet)
    large = ImageEncoder(96)
    assert isinstance(large.network, TimmEncoder)
    assert (large.network.name, large.out_features) == ("resnet18", 512)
    named = ImageEncoder(64, name="test_resnet")
    assert isinstance(named.network, TimmEncoder)
    assert named(torch.zeros(2, 3, 64, 64)).shape == (2, named.out_features)
    assert ImageEncoder(32, in_channels=1)(torch.zeros(2, 1, 32, 32)).shape == (2, 128)
    with pytest.raises(ValueError, match="size: expected the pixels of the images, got 'auto'"):
        ImageEncoder()
