r"""The metrics of depth estimation over the pixels that have a label, overall and per shot region of the depth.

They are sums per label bin, which add up over batches and processes, and a computation on them.
"""

import torch
from torch import Tensor

from conr.density import REGIONS, LabelDensity
from conr.losses import pixel_rows, valid_pixels
from conr.losses.dense_labels import check_like_labels
from conr.metrics.shot import by_region

DEPTH_METRICS = ("count", "rmse", "mae", "abs_rel", "log10", "delta1", "delta2", "delta3", "brmse")

LEAST_DEPTH = 1e-3


def depth_statistics(predictions: Tensor, labels: Tensor, density: LabelDensity) -> Tensor:
    """Sums for all of `DEPTH_METRICS` over the pixels of a batch that have a label, per bin: float64, shape (bins, 8).

    Args:
        predictions: metres, shape (n, 1, h, w).
        labels: like predictions; NaN where a pixel has none.
        density: fitted; gives the bin of each depth.

    Raises:
        ValueError: predictions and labels that are not of one shape (n, 1, h, w).
        TypeError: no floating-point tensors.
    """
    check_like_labels(predictions, labels)
    if labels.shape[1] != 1:
        raise ValueError(f"labels: expected shape (n, 1, h, w), got {tuple(labels.shape)}")
    index = density.fitted_bins().index(pixel_rows(labels), check=False)  # (pixels,)
    statistics = _statistics(pixel_rows(predictions), pixel_rows(labels))  # (pixels, 8)
    statistics = statistics.where(valid_pixels(labels).view(-1, 1), 0)
    return statistics.new_zeros(len(density.fitted_bins()), 8).index_add_(0, index, statistics)


def depth_values(sums: Tensor, density: LabelDensity) -> dict[str, Tensor]:
    """Metrics by name and region, from the sums of `depth_statistics` and the same density."""
    inside = torch.stack([density.region_of_bin == region for region in range(len(REGIONS))])
    inside = torch.cat((torch.ones_like(inside[:1]), inside)).double()  # (1 + regions, bins)
    totals = inside @ sums  # (1 + regions, 8)
    count = totals[:, 0]  # (1 + regions,); 0 / 0 is the NaN of an empty region
    squared, *others = (totals[:, 1:] / count.unsqueeze(1)).T
    occupied = sums[:, 0] > 0  # (bins,)
    per_bin = torch.where(occupied, sums[:, 1] / sums[:, 0], 0)  # (bins,)
    balanced = (inside @ per_bin) / (inside @ occupied.double())  # (1 + regions,)
    columns = (count, squared.sqrt(), *others, balanced.sqrt())
    return {
        key: number for pair in zip(DEPTH_METRICS, columns, strict=True) for key, number in by_region(*pair).items()
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
