r"""The metrics of deep imbalanced regression as numbers, each over all samples and per shot region of the label.

Each is sufficient statistics of a batch, which add up, and values computed from them. `conr.metrics.streaming` adds
them up over batches and processes; `regression_metrics` takes one batch. A region without samples has count 0 and NaN
for the rest.
"""

import torch
from torch import Tensor

from conr._tensor_checks import check_pair
from conr.density import REGIONS, LabelDensity

METRIC_NAMES = ("count", "mae", "mse", "rmse", "gm", "bmae", "pearson", "spearman")

GM_EPSILON = 1e-10


def regression_metrics(predictions: Tensor, labels: Tensor, density: LabelDensity) -> dict[str, float]:
    """The metrics of `shot_metrics` in one call.

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        density: fitted on the training labels.

    Returns:
        Metric names, also with ``_many``, ``_median`` and ``_few``, to numbers.

    Raises:
        RuntimeError: a density that is not fitted.
        ValueError: shapes differ, or a label is NaN or outside the density's bins.

    Example:
        >>> import torch
        >>> from conr.density import Bins, LabelDensity
        >>> density = LabelDensity(Bins([0, 1, 2]), many=2, few=2).fit(torch.tensor([0.5, 0.5, 0.5, 1.5]))
        >>> regression_metrics(torch.tensor([0.5, 1.0]), torch.tensor([0.25, 1.5]), density)["mae"]
        0.375
    """
    density.regions(labels)  # checks the values
    found = {
        **error_values(error_statistics(predictions, labels, density)),
        **balanced_values(balanced_statistics(predictions, labels, density), density),
        **correlation_values(predictions, labels, density),
    }
    return {name: float(value) for name, value in found.items()}


def error_statistics(predictions: Tensor, labels: Tensor, density: LabelDensity) -> Tensor:
    """Sums for ``count``, ``mae``, ``mse``, ``rmse`` and ``gm`` of a batch; arguments as of `regression_metrics`.

    Returns:
        Count, absolute, squared and logarithmic errors, of all samples and by region: float64, shape (1 + regions, 4).

    Raises:
        ValueError: shapes differ.
    """
    errors = _errors(predictions, labels)  # (n, k)
    logarithms = torch.where(errors == 0, GM_EPSILON, errors).log()  # (n, k)
    one = torch.ones_like(errors[:, 0])
    per_sample = torch.stack((one, errors.mean(1), errors.square().mean(1), logarithms.mean(1)), dim=1)  # (n, 4)
    return region_sums(per_sample, labels, density)


def error_values(sums: Tensor) -> dict[str, Tensor]:
    """Metrics by name and region from the sums of `error_statistics`, shape (1 + regions, 4)."""
    count, absolute, squared, logarithm = sums.T  # (1 + regions,) each; 0 / 0 is the NaN of an empty region
    mse = squared / count
    return {
        **by_region("count", count),
        **by_region("mae", absolute / count),
        **by_region("mse", mse),
        **by_region("rmse", mse.sqrt()),
        **by_region("gm", (logarithm / count).exp()),
    }


def balanced_statistics(predictions: Tensor, labels: Tensor, density: LabelDensity) -> Tensor:
    """Sums for ``bmae`` of a batch: count and absolute error of each bin, float64, shape (bins, 2).

    Arguments and errors are those of `error_statistics`.
    """
    errors = _errors(predictions, labels)  # (n, k)
    index = density.fitted_bins().index(labels, check=False)  # (n,)
    per_sample = torch.stack((torch.ones_like(errors[:, 0]), errors.mean(dim=1)), dim=1)  # (n, 2)
    return errors.new_zeros(len(density.fitted_bins()), 2).index_add_(0, index, per_sample)


def balanced_values(sums: Tensor, density: LabelDensity) -> dict[str, Tensor]:
    """Balanced MAE by region, from the sums of `balanced_statistics` and the same density."""
    count, absolute = sums.T  # (bins,), (bins,)
    occupied = count > 0
    chosen = torch.stack([occupied, *(occupied & (density.region_of_bin == region) for region in range(len(REGIONS)))])
    per_bin = torch.where(chosen, absolute / count, 0)  # (1 + regions, bins)
    return by_region("bmae", per_bin.sum(dim=1) / chosen.sum(dim=1))


def correlation_values(predictions: Tensor, labels: Tensor, density: LabelDensity) -> dict[str, Tensor]:
    """Mean of ``pearson`` and ``spearman`` over label dimensions, by region; of all samples, as ranks need them.

    Arguments and errors are those of `error_statistics`.
    """
    check_shapes(predictions, labels)
    regions = density.regions(labels, check=False)  # (n,)
    n, k = len(labels), density.fitted_bins().dimensions
    predictions, labels = (one.detach().double().reshape(n, k) for one in (predictions, labels))
    parts = [torch.ones_like(regions, dtype=torch.bool), *(regions == region for region in range(len(REGIONS)))]
    pearson = [_correlation(predictions[part], labels[part]) for part in parts]
    spearman = [_correlation(_ranks(predictions[part]), _ranks(labels[part])) for part in parts]
    return {**by_region("pearson", torch.stack(pearson)), **by_region("spearman", torch.stack(spearman))}


def region_sums(per_sample: Tensor, labels: Tensor, density: LabelDensity) -> Tensor:
    """Sums of numbers (n, c) over all samples and over those of each region, shape (1 + regions, c)."""
    sums = per_sample.new_zeros(1 + len(REGIONS), per_sample.shape[1])
    sums[0] = per_sample.sum(dim=0)
    return sums.index_add_(0, 1 + density.regions(labels, check=False), per_sample)


def by_region(name: str, values: Tensor) -> dict[str, Tensor]:
    """Values over all samples and of each region, shape (1 + regions,), by ``name`` and ``name_REGION``."""
    return dict(zip((name, *(f"{name}_{region}" for region in REGIONS)), values, strict=True))


def check_shapes(predictions: Tensor, labels: Tensor) -> None:
    """Require equal shapes (n,) or (n, k)."""
    check_pair(predictions, labels)
    if predictions.shape != labels.shape or labels.ndim not in (1, 2):
        raise ValueError(
            "predictions and labels: expected equal shapes (n,) or (n, k), "
            f"got {tuple(predictions.shape)} and {tuple(labels.shape)}"
        )


def _errors(predictions: Tensor, labels: Tensor) -> Tensor:
    check_shapes(predictions, labels)
    errors = (predictions.detach().double() - labels.detach().double()).abs()
    return errors.unsqueeze(1) if errors.ndim == 1 else errors  # (n, k)


def _correlation(predictions: Tensor, labels: Tensor) -> Tensor:
    # Not torchmetrics': that warns on small variances, and its Spearman adds an epsilon to the denominator.
    if len(labels) < 2:
        return labels.new_tensor(torch.nan)
    predictions, labels = _standardise(predictions), _standardise(labels)  # (n, k)
    return (predictions * labels).sum(dim=0).clamp(-1, 1).mean()


def _standardise(columns: Tensor) -> Tensor:
    """Columns (n, k) with mean 0 and length 1; NaN where all numbers are equal."""
    constant = (columns == columns[0]).all(dim=0)  # (k,); rounding of the mean would hide it
    centred = columns - columns.mean(dim=0)
    unit = centred / torch.linalg.vector_norm(centred, dim=0)
    return torch.where(constant, torch.nan, unit)


def _ranks(columns: Tensor) -> Tensor:
    """Rank within each column (n, k); equal numbers share their mean rank, and NaN stays NaN."""
    ranks = torch.empty_like(columns)
    for dimension, column in enumerate(columns.T):
        _, inverse, counts = torch.unique(column, return_inverse=True, return_counts=True)
        ranks[:, dimension] = (counts.cumsum(0) - (counts - 1) / 2)[inverse]
    return torch.where(columns.isnan(), torch.nan, ranks)
