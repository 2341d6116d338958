"""Base of the smoothers: their settings, their bins, and the schedule of their epochs."""

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from conr._checks import check_range, check_share, check_whole
from conr._tensor_checks import check_device, check_features, check_labels
from conr.density import Bins
from conr.density.kernels import lds_kernel
from conr.smoothing.moments import BinMoments


class BinSmoother(nn.Module, ABC):
    """Keeps the settings of a smoother, takes its bins, and has it allocate its statistics once they are known.

    Args:
        num_features: d.
        bins: of the labels, in label units; those of the dataset, by `fit`, if None.
        kernel: ``"gaussian"``, ``"triangular"`` or ``"laplace"``, as for LDS (`conr.density.lds_kernel`).
        kernel_size: odd number of bins.
        sigma: width of the Gaussian or Laplace kernel, in bins.
        momentum: how much of the running statistics stays in an epoch, in [0, 1); None weighs all epochs by their
            samples.
        clip: least and greatest ratio of variances: (0.1, 10) for ages, (0.5, 2) for text similarity, (0.2, 5) for
            depth in the published recipes.
        start_update: first epoch, counted from 0, whose features are measured.
        start_smooth: first epoch whose features are smoothed; later than ``start_update``.
        fill: whether bins that were never seen take the mean of the nearest ones that were; else they are left out of
            the smoothing.

    Raises:
        ValueError: a number below 1; an unknown kernel, an even size, a sigma that is not positive; a momentum outside
            [0, 1); not 0 < low <= high; a negative epoch; start_smooth not above start_update.
    """

    epoch: Tensor
    moments: BinMoments

    def __init__(
        self,
        num_features: int,
        bins: Bins | None = None,
        *,
        kernel: str = "gaussian",
        kernel_size: int = 5,
        sigma: float = 2.0,
        momentum: float | None = 0.9,
        clip: tuple[float, float] = (0.1, 10.0),
        start_update: int = 0,
        start_smooth: int = 1,
        fill: bool = True,
    ) -> None:
        super().__init__()
        check_whole("num_features", num_features, low=1)
        if momentum is not None:
            check_share("momentum", momentum, open_high=True)
        check_whole("start_update", start_update, low=0)
        check_whole("start_smooth", start_smooth, low=0)
        if start_smooth <= start_update:
            raise ValueError(f"start_smooth: expected an epoch after start_update {start_update}, got {start_smooth}")
        check_range("clip", clip)
        self.num_features = num_features
        self.kernel = kernel
        self.kernel_size = kernel_size
        self.sigma = sigma
        self.momentum = momentum
        self.clip = clip
        self.start_update = start_update
        self.start_smooth = start_smooth
        self.fill = fill
        self.bins: Bins | None = None
        self._own_bins = bins
        self._window = lds_kernel(kernel, size=kernel_size, sigma=sigma)  # (kernel_size,)
        self.register_buffer("epoch", torch.tensor(0))
        self._add_layers()
        if bins is not None:
            self._begin(bins)

    def _add_layers(self) -> None:
        """Make layers with parameters; none by default."""

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        """Take over the bins of a dataset, unless the constructor got some. Returns self; statistics start anew.

        Raises:
            ValueError: labels with another number of dimensions than the bins', or one that is NaN or outside the bins.
        """
        bins = bins if self._own_bins is None else self._own_bins
        bins.index(labels)
        self._begin(bins)
        return self

    def _begin(self, bins: Bins) -> None:
        self.bins = bins
        self.epoch.zero_()
        self._allocate(bins)

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Move the running statistics towards those of the epoch that ends, smooth them, and begin a new epoch.

        Raises:
            RuntimeError: no bins.
        """
        self.known_bins()
        epoch = int(self.epoch)
        if epoch >= self.start_update:
            self._update(smooth=epoch + 1 >= self.start_smooth)
        self.moments.clear()
        self.epoch += 1

    def known_bins(self) -> Bins:
        """The bins.

        Raises:
            RuntimeError: neither the constructor nor `fit` has got some.
        """
        if self.bins is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no bins: give some to the constructor, or call fit(labels, bins) first"
            )
        return self.bins

    def check_rows(self, features: Tensor, labels: Tensor) -> None:
        """Require features (n, num_features) on the layer's device, and as many labels, (n,) or (n, k).

        Raises:
            TypeError: not tensors; integer features; labels that are no real numbers.
            ValueError: wrong shapes, lengths or devices.
        """
        check_features(features)
        check_device("features", features, self.epoch.device, like="this layer")
        if features.shape[1] != self.num_features:
            raise ValueError(f"features: expected shape (n, {self.num_features}), got {tuple(features.shape)}")
        check_labels("labels", labels, len(features), features.device)

    @abstractmethod
    def _allocate(self, bins: Bins) -> None:
        """Make empty statistics for these bins, on the device of ``epoch``: ``moments``, and what they enter."""

    @abstractmethod
    def _update(self, *, smooth: bool) -> None:
        """Move the running statistics towards ``moments``, and ``smooth`` them for the next epoch or not."""

    def extra_repr(self) -> str:
        """Settings, for printing."""
        names = ("kernel", "kernel_size", "sigma", "momentum", "clip", "start_update", "start_smooth", "fill")
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"num_features={self.num_features}, bins={self.bins}, {settings}"
