import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conr.models import SmallCNN


def test_28_pixels_are_convolved_flattened_and_projected_without_pooling() -> None:
    encoder = SmallCNN(in_channels=2, channels=(3, 4, 5), features=6).eval()
    first, second, third = (module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    (linear,) = (module for module in encoder.modules() if isinstance(module, nn.Linear))
    maps = torch.rand(7, 2, 28, 28, generator=torch.Generator().manual_seed(0))
    expected = maps
    for convolution in (first, second, third):
        convolved = F.conv2d(expected, convolution.weight, stride=2, padding=1)
        expected = F.relu(convolved / (1 + 1e-5) ** 0.5)  # batch normalisation that has seen nothing yet
    assert expected.shape == (7, 5, 4, 4)
    expected = F.relu(expected.reshape(7, 80) @ linear.weight.T + linear.bias)  # (7, 6)
    torch.testing.assert_close(encoder(maps), expected)


def test_larger_images_are_averaged_to_4_by_4() -> None:
    encoder = SmallCNN(channels=(3,), features=2).eval()
    (convolution,) = (module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    (linear,) = (module for module in encoder.modules() if isinstance(module, nn.Linear))
    images = torch.rand(2, 1, 16, 32, generator=torch.Generator().manual_seed(0))
    maps = F.relu(convolution(images) / (1 + 1e-5) ** 0.5)  # (2, 3, 8, 16)
    averaged = maps.reshape(2, 3, 4, 2, 4, 4).mean(dim=(3, 5)).reshape(2, 48)
    torch.testing.assert_close(encoder(images), F.relu(linear(averaged)))


@pytest.mark.parametrize("side", [16, 28, 32, 65])
def test_any_image_size_gives_128_features(side: int) -> None:
    encoder = SmallCNN()
    features = encoder(torch.rand(2, 1, side, side))
    assert features.shape == (2, encoder.out_features) == (2, 128)
    assert (features >= 0).all()


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    encoder = SmallCNN()
    encoder(torch.randn(4, 1, 28, 28)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_in_evaluation_features_of_an_image_do_not_depend_on_its_batch() -> None:
    encoder, images = SmallCNN().eval(), torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(encoder(images)[2:3], encoder(images[2:3]))


def test_wrong_inputs_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 1, height, width\), got \(1, 28, 28\)"):
        SmallCNN()(torch.zeros(1, 28, 28))
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 3, height, width\), got \(2, 1, 28, 28\)"):
        SmallCNN(in_channels=3)(torch.zeros(2, 1, 28, 28))
    with pytest.raises(ValueError, match="channels: expected at least one convolution, got none"):
        SmallCNN(channels=())
    with pytest.raises(ValueError, match="channels: expected a number of at least 1, got 0"):
        SmallCNN(channels=(8, 0))
    with pytest.raises(ValueError, match="in_channels: expected a number of at least 1, got 0"):
        SmallCNN(in_channels=0)
    with pytest.raises(ValueError, match="features: expected a number of at least 1, got 0"):
        SmallCNN(features=0)
