"""Running statistics of each bin, the same smoothed over bins, and features moved from the ones to the others."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conr._checks import check_number, check_range, check_whole
from conr.density.kernels import smooth_bins

LEAST_VARIANCE = 1e-10


def calibrate(
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    smoothed_mean: Tensor,
    smoothed_variance: Tensor,
    *,
    clip: tuple[float, float] = (0.1, 10.0),
) -> Tensor:
    r"""Whiten features by the statistics of their bin and colour them by the smoothed ones; shape (n, d), a new tensor.

    $$\tilde z_{id} = \sqrt{\mathrm{clip}\Big(\frac{\tilde v_{id}}{v_{id}}, \mathrm{low}, \mathrm{high}\Big)}
      \, (z_{id} - m_{id}) + \tilde m_{id}$$

    Symbols: $z$ features, $m$ mean and $v$ variance of the bin of each sample, $\tilde m$ and $\tilde v$ the smoothed
    ones. Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021, with diagonal covariances and the
    clipping of its released code.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64; computed in float32 at least.
        mean: of the bin of each sample, shape (n, d).
        variance: likewise.
        smoothed_mean: likewise.
        smoothed_variance: likewise.
        clip: least and greatest ratio of the variances.

    Raises:
        ValueError: shapes differ; not 0 < low <= high.

    Notes:
        As in the released code, a feature whose variance in the bin is 0 stays as it is, and so do all features of a
        sample whose bin has variances that sum to less than 1e-10.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 1)
        >>> calibrate(3 * one, mean=one, variance=one, smoothed_mean=2 * one, smoothed_variance=4 * one)
        tensor([[6.]])
    """
    check_range("clip", clip)
    for name, table in (
        ("mean", mean),
        ("variance", variance),
        ("smoothed_mean", smoothed_mean),
        ("smoothed_variance", smoothed_variance),
    ):
        if table.shape != features.shape:
            raise ValueError(f"{name}: expected shape {tuple(features.shape)} like features, got {tuple(table.shape)}")
    rows = features.to(torch.promote_types(features.dtype, torch.float32))  # (n, d)
    varies = (variance > 0) & (variance.sum(dim=1, keepdim=True) >= LEAST_VARIANCE)  # (n, d)
    ratio = (smoothed_variance / torch.where(varies, variance, 1)).clamp(*clip)  # (n, d)
    moved = (rows - mean) * ratio.sqrt() + smoothed_mean  # (n, d)
    return torch.where(varies, moved, rows).to(features.dtype)


class BinCalibration(nn.Module):
    r"""Running mean and variance of each bin, and the calibration of features by them; see `calibrate`.

    $$m_b \leftarrow a\, m_b + (1 - a)\, \hat m_b, \qquad v_b \leftarrow a\, v_b + (1 - a)\, \hat v_b, \qquad
      \tilde m = k * m, \qquad \tilde v = k * v$$

    with the statistics $\hat m_b, \hat v_b$ of an epoch; a bin without samples in it keeps its own. Until `smooth` is
    called, and for bins that were never seen, features stay as they are.

    Args:
        shape: bins per label dimension.
        num_features: d.
        clip: see `calibrate`.

    Raises:
        ValueError: a number below 1; not 0 < low <= high.

    Example:
        >>> import torch
        >>> calibration = BinCalibration([2], 1)
        >>> one = torch.ones(2, 1)
        >>> calibration.update(torch.tensor([[0.0], [4.0]]), one, torch.tensor([5, 5]), momentum=0.9)
        >>> calibration.smooth(torch.tensor([0.25, 0.5, 0.25]))
        >>> calibration(torch.tensor([[1.0]]), torch.tensor([0]))
        tensor([[3.]])
    """

    mean: Tensor
    variance: Tensor
    count: Tensor
    smoothed_mean: Tensor
    smoothed_variance: Tensor
    ready: Tensor

    def __init__(self, shape: Sequence[int], num_features: int, *, clip: tuple[float, float] = (0.1, 10.0)) -> None:
        super().__init__()
        for size in shape:
            check_number("shape", size, low=1)
        check_whole("num_features", num_features, low=1)
        check_range("clip", clip)
        self.shape = tuple(shape)
        self.clip = clip
        bins = torch.Size(shape).numel()
        for name, start in (("mean", 0.0), ("variance", 1.0), ("smoothed_mean", 0.0), ("smoothed_variance", 1.0)):
            self.register_buffer(name, torch.full((bins, num_features), start, dtype=torch.float32))
        self.register_buffer("count", torch.zeros(bins, dtype=torch.long))
        self.register_buffer("ready", torch.zeros(bins, dtype=torch.bool))

    def forward(self, features: Tensor, index: Tensor) -> Tensor:
        """Calibrated features (n, d) of features (n, d) and their bins (n,)."""
        tables = (self.mean, self.variance, self.smoothed_mean, self.smoothed_variance)
        moved = calibrate(features, *(table[index] for table in tables), clip=self.clip)
        return torch.where(self.ready[index].unsqueeze(1), moved, features)

    @torch.no_grad()
    def update(
        self, mean: Tensor, variance: Tensor, count: Tensor, *, momentum: float | None, from_start: bool = False
    ) -> None:
        r"""Move the running statistics towards those of an epoch.

        Args:
            mean: of the epoch, shape (bins, d).
            variance: likewise.
            count: samples of the epoch, shape (bins,).
            momentum: $a$, how much of the running statistics stays; None weighs both by their counts.
            from_start: whether a bin that is seen for the first time moves from mean 0 and variance 1, unless no bin
                was seen before; else it takes the statistics of the epoch as they are.
        """
        total = (self.count + count).clamp(min=1)  # (bins,)
        kept = self.count.to(self.mean) / total if momentum is None else self.mean.new_tensor(momentum)
        known = self.count.any() if from_start else self.count > 0
        kept = torch.where(known, kept, 0)
        kept = torch.where(count > 0, kept, 1).unsqueeze(1)  # (bins, 1)
        self.mean.copy_(kept * self.mean + (1 - kept) * mean)
        self.variance.copy_(kept * self.variance + (1 - kept) * variance)
        self.count += count

    @torch.no_grad()
    def smooth(self, kernel: Tensor, *, fill: bool = True, unseen: bool = False, independent: bool = False) -> None:
        """Smooth the running statistics over bins, for features to be calibrated with from now on.

        Args:
            kernel: symmetric window, odd length; scaled to sum 1.
            fill: whether bins that were never seen take the mean of the nearest ones that were; else they are left out.
            unseen: whether, without ``fill``, their mean 0 and variance 1 take part, and their features are calibrated.
            independent: whether bins are independent random numbers: the variance of their weighted mean is that of a
                sum, with squared weights.
        """
        seen = self.count > 0  # (bins,)
        if not seen.any():
            return
        kernel = (kernel / kernel.sum()).to(self.mean)
        complete = fill or unseen
        share = torch.ones_like(seen) if complete else seen
        norm = self._smoothed(share.to(self.mean).unsqueeze(1), kernel)  # (bins, 1); 1 if complete
        norm = torch.where(norm > 0, norm, 1)
        power = 2 if independent else 1
        for running, smoothed, exponent in (
            (self.mean, self.smoothed_mean, 1),
            (self.variance, self.smoothed_variance, power),
        ):
            table = fill_bins(running, seen, self.shape) if fill else running * share.unsqueeze(1)  # (bins, d)
            smoothed.copy_(self._smoothed(table, kernel**exponent) / norm**exponent)
        self.ready.copy_(torch.ones_like(seen) if unseen else seen)

    def _smoothed(self, table: Tensor, kernel: Tensor) -> Tensor:
        grid = table.reshape(*self.shape, -1)  # (..., d)
        return smooth_bins(grid, kernel, dimensions=len(self.shape), boundary="mirror").reshape(table.shape)

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return f"shape={self.shape}, num_features={self.mean.shape[1]}, clip={self.clip}"


def fill_bins(table: Tensor, seen: Tensor, shape: Sequence[int]) -> Tensor:
    """Give each bin of a table (bins, d) that was not seen the mean of the nearest ones that were.

    Distances count steps over the grid of ``shape`` bins; ``seen`` has shape (bins,), with at least one true.
    """
    axes = [torch.arange(size, device=table.device, dtype=table.dtype) for size in shape]
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))  # (bins, k)
    steps = torch.cdist(cells[~seen], cells[seen], p=1)  # (empty, seen)
    nearest = (steps == steps.amin(dim=1, keepdim=True)).to(table.dtype)  # (empty, seen)
    filled = table.clone()
    with torch.autocast(table.device.type, enabled=False):
        filled[~seen] = nearest @ table[seen] / nearest.sum(dim=1, keepdim=True)
    return filled
