import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr.models import GazeLeNet


def _inputs(n: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"image": torch.rand(n, 1, 36, 60, generator=generator), "pose": torch.randn(n, 2, generator=generator)}


def test_it_is_lenet_and_features_end_with_the_pose() -> None:
    encoder = GazeLeNet()
    first, second = (module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    (linear,) = (module for module in encoder.modules() if isinstance(module, nn.Linear))
    assert (first.weight.shape, second.weight.shape) == ((20, 1, 5, 5), (50, 20, 5, 5))
    inputs = _inputs(3)
    maps = F.max_pool2d(F.conv2d(inputs["image"], first.weight, first.bias), 2)  # (3, 20, 16, 28)
    maps = F.max_pool2d(F.conv2d(maps, second.weight, second.bias), 2)  # (3, 50, 6, 12)
    expected = F.relu(maps.reshape(3, 3600) @ linear.weight.T + linear.bias)  # (3, 500)
    features = encoder(inputs)
    assert features.shape == (3, encoder.out_features) == (3, 502)
    torch.testing.assert_close(features[:, :500], expected)
    assert torch.equal(features[:, 500:], inputs["pose"])
    assert GazeLeNet(features=7)(inputs).shape == (3, 9)


def test_every_parameter_learns_and_samples_do_not_depend_on_their_batch() -> None:
    torch.manual_seed(0)
    encoder, inputs = GazeLeNet(features=20), _inputs(5)
    features = encoder(inputs)
    features.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    alone = encoder({name: value[2:3] for name, value in inputs.items()})
    torch.testing.assert_close(features[2:3], alone)


def test_wrong_inputs_and_settings_are_refused() -> None:
    image, pose = torch.zeros(2, 1, 36, 60), torch.zeros(2, 2)
    with pytest.raises(ValueError, match="inputs: expected 'image' and 'pose' by name, got Tensor"):
        GazeLeNet()(image)
    with pytest.raises(ValueError, match=r"inputs: expected 'image' and 'pose' by name, got \['image'\]"):
        GazeLeNet()({"image": image})
    for wrong in (
        {"image": image[0], "pose": pose},
        {"image": image.mT, "pose": pose},
        {"image": image, "pose": pose[:1]},
    ):
        with pytest.raises(ValueError, match=r"inputs: expected image \(n, 1, 36, 60\) and pose \(n, 2\), got \("):
            GazeLeNet()(wrong)
    with pytest.raises(ValueError, match="features: expected a number of at least 1, got 0"):
        GazeLeNet(features=0)
