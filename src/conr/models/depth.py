"""Depth of every pixel: an encoder with a decoder behind it that gives a feature map, and the head on top of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_number
from conr._extras import require
from conr.models.small import check_images
from conr.models.timm_encoder import TimmEncoder, check_network


class DepthEncoder(nn.Module):
    """A backbone of timm, a decoder, and a fusion of all scales: images to a feature map of half their size.

    Four parts, as the network of the depth benchmark has them (Hu et al., "Revisiting Single Image Depth Estimation",
    WACV 2019, which NYUD2-DIR trains):

    - E: the backbone, whose stages from a quarter of the image's size downwards are used.
    - D: from the deepest stage upwards, each step twice as large and half as wide.
    - MFF: every stage brought to half of the image's size and ``fused`` channels, then joined.
    - R: two convolutions on D and MFF together.

    Differences from the published network: MFF narrows a stage to its few channels before it is enlarged, not after
    (NOTE[DIFF]: with ResNet-50 that saves 266 MB of float32 activations per image of 304 x 228), and D never gets
    narrower than ``4 * fused`` channels, which matters for small backbones only.

    Nothing is ever downloaded: weights come from a file of yours, or training starts from scratch.

    Args:
        backbone: as timm calls the network, such as ``"resnet50"``; it must give its stages (``features_only``).
        features: channels of the feature map, its ``out_features``.
        fused: channels that each stage contributes to MFF.
        in_channels: channels of the images.
        pretrained_path: file of the backbone's weights: safetensors, or a dictionary of tensors that torch saved.

    Raises:
        ImportError: timm is not installed.
        FileNotFoundError: no file of weights.
        ValueError: an unknown network, or one without stages; a number below 1; weights that do not fit.

    Example:
        >>> import torch
        >>> encoder = DepthEncoder("test_resnet", features=16, fused=4).eval()
        >>> encoder(torch.zeros(1, 3, 57, 76)).shape
        torch.Size([1, 16, 29, 38])
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        *,
        features: int = 128,
        fused: int = 16,
        in_channels: int = 3,
        pretrained_path: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_number("features", features, low=1)
        check_number("fused", fused, low=1)
        check_number("in_channels", in_channels, low=1)
        self.backbone = _stages_of(backbone, in_channels, pretrained_path)
        info: Any = self.backbone.feature_info
        self.used = [stage for stage, reduction in enumerate(info.reduction()) if reduction >= 4]
        channels = [info.channels()[stage] for stage in self.used]
        width = max(channels[-1] // 2, 4 * fused)
        self.narrow = _Convolution(channels[-1], width, size=1)
        steps = []
        for _ in channels:  # to the size of each shallower stage, and then to half of the image's
            narrower = max(width // 2, 4 * fused)
            steps.append(_Enlarge(width, narrower))
            width = narrower
        self.decoder = nn.ModuleList(steps)
        self.narrow_stages = nn.ModuleList(_Convolution(one, fused, size=1) for one in channels)
        self.enlarge_stages = nn.ModuleList(_Enlarge(fused, fused) for _ in channels)
        together = fused * len(channels)
        self.fusion = _Convolution(together, together, size=5)
        self.refine = nn.Sequential(
            _Convolution(width + together, features, size=5), _Convolution(features, features, size=5)
        )
        self.in_channels = in_channels
        self.out_features = features

    def forward(self, images: Tensor) -> Tensor:
        """Feature map (n, out_features, ceil(h / 2), ceil(w / 2)) of images (n, in_channels, h, w)."""
        check_images("images", images, self.in_channels)
        half = [(side + 1) // 2 for side in images.shape[2:]]
        every: Sequence[Tensor] = self.backbone(images)
        stages = [every[stage] for stage in self.used]  # (n, c, h, w) each, the deepest last
        sizes = [list(stage.shape[2:]) for stage in stages[-2::-1]] + [half]
        decoded: Tensor = self.narrow(stages[-1])
        for step, size in zip(self.decoder, sizes, strict=True):
            decoded = step(decoded, size)  # (n, width, *size), at last (n, width, h / 2, w / 2)
        fused = [
            enlarge(narrow(stage), half)
            for stage, narrow, enlarge in zip(stages, self.narrow_stages, self.enlarge_stages, strict=True)
        ]
        joined: Tensor = self.fusion(torch.cat(fused, dim=1))  # (n, fused * stages, h / 2, w / 2)
        features: Tensor = self.refine(torch.cat((decoded, joined), dim=1))  # (n, features, h / 2, w / 2)
        return features


class DepthHead(nn.Module):
    """The last convolution (5 x 5): a feature map (n, d, h, w) to a depth, or k numbers, per pixel.

    Args:
        in_features: d.
        out_features: k.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, in_features: int = 128, out_features: int = 1) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        self.convolution = nn.Conv2d(in_features, out_features, kernel_size=5, padding=2)

    def forward(self, features: Tensor) -> Tensor:
        """Predictions (n, out_features, h, w) of features (n, in_features, h, w)."""
        check_images("features", features, self.convolution.in_channels)
        predictions: Tensor = self.convolution(features)
        return predictions


class _Convolution(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, size: int) -> None:
        super().__init__(_convolution(in_channels, out_channels, size), nn.BatchNorm2d(out_channels), nn.ReLU())


class _Enlarge(nn.Module):
    """Bilinear enlargement, then a residual block whose shortcut is a convolution too."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _Convolution(in_channels, out_channels, size=5),
            _convolution(out_channels, out_channels, 3),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(_convolution(in_channels, out_channels, 5), nn.BatchNorm2d(out_channels))

    def forward(self, maps: Tensor, size: list[int]) -> Tensor:
        maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=True)
        return F.relu(self.residual(maps) + self.shortcut(maps))


def _convolution(in_channels: int, out_channels: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=size, padding=size // 2, bias=False)


def _stages_of(backbone: str, in_channels: int, pretrained_path: str | Path | None) -> nn.Module:
    require("conr.models.DepthEncoder", "timm")
    import timm  # noqa: PLC0415  optional

    check_network("backbone", backbone)
    settings: dict[str, Any] = {"pretrained": False}
    if pretrained_path is not None:
        # Loaded into the whole network first, where every weight must fit: the network of stages would not mind gaps.
        whole = TimmEncoder(backbone, in_channels=in_channels, pretrained_path=pretrained_path)
        settings = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": whole.network.state_dict()}}
    try:
        network: Any = timm.create_model(backbone, features_only=True, in_chans=in_channels, **settings)
    except RuntimeError as error:
        raise ValueError(f"backbone: expected a network that gives its stages, got {backbone!r}: {error}") from error
    if max(network.feature_info.reduction()) < 4:
        raise ValueError(f"backbone: expected stages of a quarter of the image's size or less, got {backbone!r}")
    return cast("nn.Module", network)
