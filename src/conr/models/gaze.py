"""The encoder of gaze estimation: LeNet on the image of an eye, beside the pose of the head."""

import torch
from torch import Tensor, nn

from conr._checks import check_number

SIZE = (36, 60)


class GazeLeNet(nn.Module):
    """LeNet for images of eyes; its features are those of the image and the head's pose.

    5 x 5 convolution to 20 channels, maximum over 2 x 2, 5 x 5 convolution to 50 channels, maximum over 2 x 2, linear
    layer to ``features`` with ReLU; then the head's pose is appended, so that features hold all that enters the last
    layer (`LinearHead` with two outputs). Source: Zhang et al., "Appearance-Based Gaze Estimation in the Wild", CVPR
    2015; as in Caffe's LeNet there is no ReLU after the convolutions.

    Args:
        features: features of the image.

    Attributes:
        out_features: ``features + 2``.

    Raises:
        ValueError: features below 1; (from forward) other shapes or names of the inputs.

    Example:
        >>> encoder = GazeLeNet()
        >>> encoder({"image": torch.zeros(3, 1, 36, 60), "pose": torch.zeros(3, 2)}).shape
        torch.Size([3, 502])
    """

    def __init__(self, *, features: int = 500) -> None:
        super().__init__()
        check_number("features", features, low=1)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 20, kernel_size=5),  # (n, 20, 32, 56)
            nn.MaxPool2d(2),  # (n, 20, 16, 28)
            nn.Conv2d(20, 50, kernel_size=5),  # (n, 50, 12, 24)
            nn.MaxPool2d(2),  # (n, 50, 6, 12)
            nn.Flatten(),
            nn.Linear(50 * 6 * 12, features),
            nn.ReLU(),
        )
        self.out_features = features + 2

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Features (n, out_features) of ``{"image": (n, 1, 36, 60), "pose": (n, 2)}``."""
        names = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        if names != ["image", "pose"]:
            raise ValueError(f"inputs: expected 'image' and 'pose' by name, got {names}")
        image, pose = inputs["image"], inputs["pose"]
        if image.ndim != 4 or tuple(image.shape[1:]) != (1, *SIZE) or tuple(pose.shape) != (len(image), 2):
            raise ValueError(
                f"inputs: expected image (n, 1, {SIZE[0]}, {SIZE[1]}) and pose (n, 2), "
                f"got {tuple(image.shape)} and {tuple(pose.shape)}"
            )
        return torch.cat((self.layers(image), pose), dim=1)
