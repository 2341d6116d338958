r"""The metrics of depth estimation over the pixels that have a label, overall and per shot region of the depth.

They are sums per label bin, which add up over batches and processes, and a computation on them.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from conr.density import REGIONS, LabelDensity
from conr.losses import pixel_rows, valid_pixels
from conr.losses.dense_labels import check_like_labels

DEPTH_METRICS = ("count", "rmse", "mae", "abs_rel", "log10", "delta1", "delta2", "delta3", "brmse")

LEAST_DEPTH = 1e-3


def depth_metrics(density: LabelDensity, *, prefix: str = "") -> MetricCollection:
    r"""The metrics of NYUD2-DIR as a torchmetrics collection, updated with maps (n, 1, h, w) in metres.

    ``compute`` gives a flat dictionary of float64 scalars: ``{prefix}rmse`` over all pixels with a label,
    ``{prefix}rmse_many``, ``_median`` and ``_few`` over those whose depth lies in such a region, and so on for

    - ``count``: pixels
    - ``rmse``, ``mae``: $\sqrt{\text{mean}\,(p - t)^2}$, mean of $|p - t|$
    - ``abs_rel``: mean of $|p - t| / t$
    - ``log10``: mean of $|\log_{10} p - \log_{10} t|$
    - ``delta1``, ``delta2``, ``delta3``: share of pixels with $\max(p / t, t / p) \le 1.25^k$
    - ``brmse``: balanced RMSE, the root of the mean over the density's bins of the MSE within the bin; empty bins are
      left out. On the balanced test mask, which has equally many pixels of each bin, it equals ``rmse``.

    Symbols: $p$ predicted depth, $t$ true depth. A region without pixels has count 0 and NaN for the rest.

    Args:
        density: fitted; gives bin and shot region of each depth.
        prefix: put before each key.

    Raises:
        RuntimeError: a density that is not fitted.
        ValueError: (from update) predictions and labels that are not of one shape (n, 1, h, w).
        TypeError: (from update) no floating-point tensors.

    Notes:
        A pixel whose label is NaN does not count. For the logarithm and the ratios a prediction below 1 mm is taken as
        1 mm, where the released code has NaN. Sums are float64; an update never makes a GPU wait.

    Example:
        >>> import torch
        >>> from conr.density import Bins, LabelDensity
        >>> density = LabelDensity(Bins([0, 5, 10]), many=2, few=2).fit(torch.tensor([1.0, 2.0, 3.0, 8.0]))
        >>> metrics = depth_metrics(density, prefix="test/")
        >>> metrics.update(torch.tensor([[[[2.0, 7.0, 5.0]]]]), torch.tensor([[[[2.0, 8.0, torch.nan]]]]))
        >>> values = metrics.compute()
        >>> values["test/mae"].item(), values["test/rmse_few"].item(), values["test/count"].item()
        (0.5, 1.0, 2.0)
    """
    return MetricCollection([DepthMetric(density)], prefix=prefix or None, compute_groups=False)


class DepthMetric(Metric):
    """All metrics of `depth_metrics` from streaming sums per bin."""

    full_state_update = False
    sums: Tensor

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(**settings)
        self.density = density
        self.add_state("sums", torch.zeros(len(density.fitted_bins()), 8, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a batch of maps (n, 1, h, w)."""
        check_like_labels(predictions, labels)
        if labels.shape[1] != 1:
            raise ValueError(f"labels: expected shape (n, 1, h, w), got {tuple(labels.shape)}")
        index = self.density.fitted_bins().index(pixel_rows(labels), check=False)  # (pixels,)
        statistics = _statistics(pixel_rows(predictions), pixel_rows(labels))  # (pixels, 8)
        statistics = statistics.where(valid_pixels(labels).view(-1, 1), 0)
        self.sums.index_add_(0, index, statistics)

    def compute(self) -> dict[str, Tensor]:
        """Metrics by name and region."""
        inside = torch.stack([self.density.region_of_bin == region for region in range(len(REGIONS))])
        inside = torch.cat((torch.ones_like(inside[:1]), inside)).double()  # (1 + regions, bins)
        totals = inside @ self.sums  # (1 + regions, 8)
        count = totals[:, 0]  # (1 + regions,); 0 / 0 is the NaN of an empty region
        squared, *others = (totals[:, 1:] / count.unsqueeze(1)).T
        occupied = self.sums[:, 0] > 0  # (bins,)
        per_bin = torch.where(occupied, self.sums[:, 1] / self.sums[:, 0], 0)  # (bins,)
        balanced = (inside @ per_bin) / (inside @ occupied.double())  # (1 + regions,)
        values = dict(zip(DEPTH_METRICS, (count, squared.sqrt(), *others, balanced.sqrt()), strict=True))
        return {
            key: number
            for name, column in values.items()
            for key, number in zip((name, *(f"{name}_{region}" for region in REGIONS)), column, strict=True)
        }


def _statistics(predictions: Tensor, labels: Tensor) -> Tensor:
    predictions, labels = predictions.detach().double(), labels.double()  # (pixels,)
    errors = (predictions - labels).abs()
    positive = predictions.clamp(min=LEAST_DEPTH)
    ratio = torch.maximum(positive / labels, labels / positive)
    columns = (
        torch.ones_like(labels),
        errors.square(),
        errors,
        errors / labels,
        (positive.log10() - labels.log10()).abs(),
        *(ratio <= 1.25**k for k in (1, 2, 3)),
    )
    return torch.stack([column.double() for column in columns], dim=1)
