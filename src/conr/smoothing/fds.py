r"""FDS: features keep the statistics of their label's neighbourhood (Yang et al., ICML 2021)."""

from torch import Tensor

from conr.density import Bins
from conr.smoothing.bin_smoother import BinSmoother
from conr.smoothing.calibration import BinCalibration
from conr.smoothing.moments import BinMoments


class FDS(BinSmoother):
    r"""Feature distribution smoothing: the statistics of features change smoothly with the label.

    In training, features of bin $b$ are whitened by the mean and variance of that bin and coloured by those of its
    neighbourhood (`calibrate` has the equation):

    $$\tilde z = \sqrt{\mathrm{clip}(\tilde v_b / v_b)} \, (z - m_b) + \tilde m_b, \qquad
      \tilde m = k * m, \quad \tilde v = k * v$$

    $m$ and $v$ are running statistics. In training mode every batch goes into those of the epoch, $\hat m$ and
    $\hat v$; `on_train_epoch_end`, which `conr.training.RegressionModule` calls, then moves the running ones,
    $m_b \leftarrow a m_b + (1 - a) \hat m_b$ and likewise $v$, and smooths them for the next epoch. In evaluation mode
    features pass through.

    Symbols: $z$ features, $k$ the kernel, of sum 1, $a$ momentum. Source: "Delving into Deep Imbalanced Regression",
    ICML 2021.

    Differences from the released code, unless ``reference``:

    - An epoch's statistics enter the smoothed ones of the next epoch. In the released code the smoothed ones are made
      before, and so are an epoch older than those that features are whitened by (two names of one tensor).
    - The statistics are of the features before smoothing. The released code smooths in place, and so measures what it
      has smoothed itself.
    - A bin that is seen for the first time takes the epoch's statistics as they are, and bins that were never seen are
      filled from the nearest ones. In the released code for ages they start from mean 0 and variance 1, and pull at
      their neighbours.
    - Everywhere, ``reference`` or not: statistics are gathered from the batches of the epoch as they are trained on,
      not in another pass over the data; each label falls into exactly one bin, so that a bin moves once per epoch;
      labels beyond the bins belong to the first or last one; state is in the state_dict.

    Args:
        reference: whether to follow the order of operations of the released code; without ``fill`` as for ages, with it
            as for text similarity.

    Notes:
        O(n d) time per batch, 6 bins d numbers of state. Statistics are constants: the gradient of a feature is that of
        its smoothed one times the ratio of deviations. Under `torch.distributed` they are those of all ranks
        (`BinMoments`). All state is in the state_dict, that of the running epoch too: a resumed run goes on as the
        killed one would have; a fresh FDS needs its bins before it loads one. Keep the module in float32. A sample
        whose features are not finite is passed on, and not measured.

    Example:
        >>> import torch
        >>> layer = FDS(1, Bins([0, 1, 2]), kernel="triangular", kernel_size=3)
        >>> features, labels = torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0.5, 0.5, 1.5, 1.5])
        >>> layer(features, labels).flatten()
        tensor([0., 2., 4., 6.])
        >>> layer.on_train_epoch_end()
        >>> layer(features, labels).flatten()
        tensor([2., 4., 2., 4.])
    """

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
        reference: bool = False,
    ) -> None:
        super().__init__(
            num_features,
            bins,
            kernel=kernel,
            kernel_size=kernel_size,
            sigma=sigma,
            momentum=momentum,
            clip=clip,
            start_update=start_update,
            start_smooth=start_smooth,
            fill=fill,
        )
        self.reference = reference

    def _allocate(self, bins: Bins) -> None:
        self.moments = BinMoments(len(bins), self.num_features).to(self.epoch.device)
        self.calibration = BinCalibration(bins.shape, self.num_features, clip=self.clip).to(self.epoch.device)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Smoothed features (n, d) of features (n, d) with labels (n,) or (n, k); in evaluation the features.

        Raises:
            RuntimeError: training without bins.
            TypeError, ValueError: as `BinSmoother.check_rows`.
        """
        self.check_rows(features, labels)
        if not self.training:
            return features
        index = self.known_bins().index(labels, check=False)  # (n,)
        smoothed: Tensor = self.calibration(features, index)
        # NOTE[DIFF]: the features as they are; the released code, which smooths in place, measures the smoothed ones.
        self.moments.add(smoothed if self.reference else features, index)
        return smoothed

    def _update(self, *, smooth: bool) -> None:
        moments, calibration = self.moments, self.calibration
        # NOTE[DIFF]: the released code smooths the running statistics before this epoch's have entered them.
        if smooth and self.reference:
            calibration.smooth(self._window, fill=self.fill, unseen=not self.fill)
        calibration.update(
            moments.mean, moments.variance(), moments.count, momentum=self.momentum, from_start=self.reference
        )
        if smooth and not self.reference:
            calibration.smooth(self._window, fill=self.fill)

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return f"{super().extra_repr()}, reference={self.reference}"
