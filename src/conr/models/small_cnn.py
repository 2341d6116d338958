"""A small convolutional encoder that trains in seconds on a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conr._checks import check_number


class SmallCNN(nn.Module):
    """Stride-2 convolutions with batch normalisation and ReLU, then one linear layer with ReLU to the features.

    Args:
        in_channels: channels of the images.
        channels: output channels of each convolution (3 x 3, stride 2).
        features: number of features.

    Attributes:
        out_features: number of features.

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
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"images: expected shape (n, {self.in_channels}, height, width), got {tuple(images.shape)}"
            )
        features: Tensor = self.layers(images.contiguous(memory_format=torch.channels_last))
        return features


class _AverageToGrid(nn.AdaptiveAvgPool2d):
    """Skips the pooling of maps that have the wanted size already: it would copy them, a tenth of a training step."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps if maps.shape[-2:] == (self.output_size, self.output_size) else super().forward(maps)
