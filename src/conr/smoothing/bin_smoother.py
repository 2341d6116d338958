"""What smoothers over bins share: their schedule, their bins, and the statistics that start with these."""

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from conr._checks import check_number, check_range, check_whole
from conr._tensor_checks import check_device, check_features, check_labels
from conr.density import Bins


class BinSmoother(nn.Module, ABC):
    """Keeps the settings of a smoother, takes its bins, and has it allocate its statistics once they are known."""

    epoch: Tensor

    def __init__(
        self,
        num_features: int,
        bins: Bins | None,
        *,
        kernel: Tensor,
        momentum: float | None,
        clip: tuple[float, float],
        start_update: int,
        start_smooth: int,
        fill: bool,
    ) -> None:
        super().__init__()
        check_whole("num_features", num_features, low=1)
        _check_schedule(momentum, start_update, start_smooth)
        check_range("clip", clip)
        self.num_features = num_features
        self.momentum = momentum
        self.clip = clip
        self.start_update = start_update
        self.start_smooth = start_smooth
        self.fill = fill
        self.bins: Bins | None = None
        self._own_bins = bins
        self._kernel = kernel
        self.register_buffer("epoch", torch.tensor(0))
        if bins is not None:
            self._begin(bins)

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        """Take over the bins of a dataset, unless the constructor got some. Returns self; statistics start anew.

        Args:
            labels: training labels, shape (n,) or (n, k), that must lie in the bins.
            bins: of the dataset.

        Raises:
            ValueError: another number of label dimensions than the bins', a label that is NaN or outside the bins.
        """
        bins = bins if self._own_bins is None else self._own_bins
        bins.index(labels)
        self._begin(bins)
        return self

    def _begin(self, bins: Bins) -> None:
        self.bins = bins
        self.epoch.zero_()
        self._allocate(bins)

    @abstractmethod
    def _allocate(self, bins: Bins) -> None:
        """Make empty statistics for these bins, on the device of ``epoch``."""


def _check_schedule(momentum: float | None, start_update: int, start_smooth: int) -> None:
    """Require a momentum in [0, 1) or None, and epochs in their order."""
    if momentum is not None:
        check_number("momentum", momentum, low=0)
        if momentum >= 1:
            raise ValueError(f"momentum: expected a number below 1, got {momentum}")
    check_whole("start_update", start_update, low=0)
    check_whole("start_smooth", start_smooth, low=0)
    if start_smooth <= start_update:
        raise ValueError(f"start_smooth: expected an epoch after start_update {start_update}, got {start_smooth}")


def check_rows(features: Tensor, labels: Tensor, num_features: int, device: torch.device) -> None:
    """Require features (n, num_features) on a device, and as many labels, (n,) or (n, k)."""
    check_features(features)
    check_device("features", features, device, like="this layer")
    if features.shape[1] != num_features:
        raise ValueError(f"features: expected shape (n, {num_features}), got {tuple(features.shape)}")
    check_labels("labels", labels, len(features), features.device)


def known_bins(bins: Bins | None, name: str) -> Bins:
    """The bins, of a layer that must have some by now."""
    if bins is None:
        raise RuntimeError(f"this {name} has no bins: give some to the constructor, or call fit(labels, bins) first")
    return bins
