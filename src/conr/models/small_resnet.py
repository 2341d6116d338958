"""A small residual network for small pictures, and the choice between it and a network of timm by their size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conr._auto import AUTO, Auto, number
from conr._checks import check_number, check_whole
from conr.models.timm_encoder import TimmEncoder

SMALL = 96
"""From this many pixels along each side on, `ImageEncoder` takes a network of timm."""

LARGE_NETWORK = "resnet18"


class SmallResNet(nn.Module):
    """Residual network for pictures of 32 to 96 pixels that trains on a CPU: features are averages of the last maps.

    A 3 x 3 convolution of stride 2, then a stage per entry of ``channels``: ``blocks`` residual blocks of two 3 x 3
    convolutions with batch normalisation (He et al., "Deep residual learning for image recognition", CVPR 2016), of
    which the first has stride 2, but not in the first stage. A block starts as its shortcut: the last normalisation of
    each has scale 0 at first.

    Args:
        in_channels: channels of the images.
        channels: of the maps of each stage; the last is the number of features.
        blocks: residual blocks per stage.

    Attributes:
        out_features: number of features.

    Raises:
        ValueError: no stage, or a number below 1.

    Notes:
        Maps are kept channels last, which is faster on a CPU. An image of 64 x 64 costs 49 million multiplications with
        the defaults, 13 million with ``channels=(16, 32, 64)``.

    Example:
        >>> SmallResNet()(torch.zeros(2, 3, 48, 48)).shape
        torch.Size([2, 128])
    """

    def __init__(self, *, in_channels: int = 3, channels: Sequence[int] = (32, 64, 128), blocks: int = 1) -> None:
        super().__init__()
        check_number("in_channels", in_channels, low=1)
        check_whole("blocks", blocks, low=1)
        if not channels:
            raise ValueError("channels: expected at least one stage, got none")
        for filters in channels:
            check_number("channels", filters, low=1)
        layers: list[nn.Module] = [*_convolution(in_channels, channels[0], stride=2), nn.ReLU(inplace=True)]
        width = channels[0]
        for stage, filters in enumerate(channels):
            for block in range(blocks):
                layers.append(_Block(width, filters, stride=2 if stage and not block else 1))
                width = filters
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)
        self.in_channels = in_channels
        self.out_features = width

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, out_features) of images (n, in_channels, height, width)."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"images: expected shape (n, {self.in_channels}, height, width), got {tuple(images.shape)}"
            )
        maps: Tensor = self.layers(images.contiguous(memory_format=torch.channels_last))  # (n, d, h / 2, w / 2), ...
        return maps.mean(dim=(2, 3))


class _Block(nn.Module):
    def __init__(self, width: int, filters: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_convolution(width, filters, stride=stride))
        convolution, norm = _convolution(filters, filters)
        nn.init.zeros_(norm.weight)
        self.second = nn.Sequential(convolution, norm)
        keeps = stride == 1 and width == filters
        self.shortcut = nn.Identity() if keeps else nn.Sequential(*_convolution(width, filters, stride=stride, side=1))

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.second(self.first(maps).relu()) + self.shortcut(maps)
        return found.relu()


def _convolution(width: int, filters: int, *, stride: int = 1, side: int = 3) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    convolution = nn.Conv2d(width, filters, kernel_size=side, stride=stride, padding=side // 2, bias=False)
    return convolution, nn.BatchNorm2d(filters)


class ImageEncoder(nn.Module):
    """The encoder that fits the size of the images: `SmallResNet` below 96 pixels, `TimmEncoder` from 96 on.

    Args:
        size: pixels along each side of the images; "auto", the size of the dataset's images, which ``conr fit`` fills
            in.
        name: network of timm to take in any case; None chooses by size, and then "resnet18".
        in_channels: channels of the images.
        pretrained_path: file of weights of timm's network, which is then taken in any case.
        options: further arguments of timm's network, which is then taken in any case.

    Attributes:
        out_features: number of features.

    Raises:
        ImportError, FileNotFoundError: as `TimmEncoder`.
        ValueError: a size that is still "auto"; as `TimmEncoder`.

    Example:
        >>> type(ImageEncoder(64).network).__name__
        'SmallResNet'
    """

    def __init__(
        self,
        size: int | Auto = AUTO,
        *,
        name: str | None = None,
        in_channels: int = 3,
        pretrained_path: str | Path | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        is_named = name is not None or pretrained_path is not None or options is not None
        if not is_named and size == AUTO:
            raise ValueError(
                "size: expected the pixels of the images, got 'auto'; conr fit takes it from a list of images"
            )
        self.network: SmallResNet | TimmEncoder
        if not is_named and number("size", size) < SMALL:
            self.network = SmallResNet(in_channels=in_channels)
        else:
            self.network = TimmEncoder(
                name or LARGE_NETWORK, in_channels=in_channels, pretrained_path=pretrained_path, options=options
            )
        self.out_features = self.network.out_features

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, out_features) of images (n, in_channels, height, width)."""
        features: Tensor = self.network(images)
        return features
