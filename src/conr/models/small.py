"""Encoders without parts from elsewhere: a perceptron, a small convolutional network, and LeNet for eyes."""

import warnings
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from conr._checks import check_number, check_share

EYE = (36, 60)


class MLP(nn.Module):
    """Linear layers with ReLU (and dropout) after each.

    Args:
        in_features: columns of the input; None takes those of the first batch, or of the dataset in training.
        hidden: width of each layer; the last one is the number of features, ``out_features``.
        dropout: probability of dropping a unit, in [0, 1).

    Raises:
        ValueError: no layer, a width below 1, or a dropout outside [0, 1).
    """

    def __init__(
        self, in_features: int | None = None, *, hidden: Sequence[int] = (128, 128), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if in_features is not None:
            check_number("in_features", in_features, low=1)
        if not hidden:
            raise ValueError("hidden: expected at least one layer, got none")
        check_share("dropout", dropout, open_high=True)
        layers: list[nn.Module] = []
        width = in_features
        for units in hidden:
            check_number("hidden", units, low=1)
            layers += [_linear(width, units), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = units
        self.layers = nn.Sequential(*layers)
        self.out_features: int = units

    @property
    def in_features(self) -> int:
        """Columns of the input; 0 while they are not known."""
        return cast("nn.Linear", self.layers[0]).in_features

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, out_features) of inputs (n, in_features)."""
        if inputs.ndim != 2 or inputs.shape[1] == 0 or self.in_features not in (0, inputs.shape[1]):
            expected = self.in_features or "columns"
            raise ValueError(f"inputs: expected shape (n, {expected}), got {tuple(inputs.shape)}")
        features: Tensor = self.layers(inputs)
        return features


def _linear(in_features: int | None, out_features: int) -> nn.Linear:
    if in_features is not None:
        return nn.Linear(in_features, out_features)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Lazy modules are a new feature")  # as torch 2.6 says
        return nn.LazyLinear(out_features)


class SmallCNN(nn.Module):
    """Stride-2 convolutions with batch normalisation and ReLU, then one linear layer with ReLU to the features.

    Args:
        in_channels: channels of the images.
        channels: output channels of each convolution (3 x 3, stride 2).
        features: number of features, ``out_features``.

    Raises:
        ValueError: no convolution, or a number below 1.

    Notes:
        The convolutions' output is averaged to 4 x 4, so any image size works; images of 28 x 28 arrive there by
        themselves. Maps are kept channels last, which makes a training step on a CPU about a fifth faster.
    """

    def __init__(self, *, in_channels: int = 1, channels: Sequence[int] = (16, 32, 64), features: int = 128) -> None:
        super().__init__()
        check_number("in_channels", in_channels, low=1)
        check_number("features", features, low=1)
        if not channels:
            raise ValueError("channels: expected at least one convolution, got none")
        layers: list[nn.Module] = []
        width = in_channels
        for filters in channels:
            check_number("channels", filters, low=1)
            convolution = nn.Conv2d(width, filters, kernel_size=3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU()]
            width = filters
        self.layers = nn.Sequential(
            *layers, _AverageToGrid(4), nn.Flatten(), nn.Linear(16 * width, features), nn.ReLU()
        )
        self.to(memory_format=torch.channels_last)
        self.in_channels = in_channels
        self.out_features = features

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, out_features) of images (n, in_channels, height, width)."""
        check_images("images", images, self.in_channels)
        features: Tensor = self.layers(images.contiguous(memory_format=torch.channels_last))
        return features


def check_images(name: str, images: Tensor, channels: int) -> None:
    """Require shape (n, channels, height, width)."""
    if images.ndim != 4 or images.shape[1] != channels:
        raise ValueError(f"{name}: expected shape (n, {channels}, height, width), got {tuple(images.shape)}")


class _AverageToGrid(nn.AdaptiveAvgPool2d):
    """Skips the pooling of maps that have the wanted size already: it would copy them, a tenth of a training step."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps if maps.shape[-2:] == (self.output_size, self.output_size) else super().forward(maps)


class GazeLeNet(nn.Module):
    """LeNet for images of eyes; its features are those of the image and the head's pose.

    5 x 5 convolution to 20 channels, maximum over 2 x 2, 5 x 5 convolution to 50 channels, maximum over 2 x 2, linear
    layer to ``features`` with ReLU; then the head's pose is appended, so that features hold all that enters the last
    layer (`LinearHead` with two outputs). Source: Zhang et al., "Appearance-Based Gaze Estimation in the Wild", CVPR
    2015; as in Caffe's LeNet there is no ReLU after the convolutions.

    Args:
        features: features of the image; ``out_features`` are two more.

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
        if image.ndim != 4 or tuple(image.shape[1:]) != (1, *EYE) or tuple(pose.shape) != (len(image), 2):
            raise ValueError(
                f"inputs: expected image (n, 1, {EYE[0]}, {EYE[1]}) and pose (n, 2), "
                f"got {tuple(image.shape)} and {tuple(pose.shape)}"
            )
        return torch.cat((self.layers(image), pose), dim=1)
