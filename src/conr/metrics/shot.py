r"""The metrics of deep imbalanced regression, each over all samples and per shot region of the label.

Each is sufficient statistics of a batch (`_error_statistics`, `_bin_statistics`), which add up, and a computation on
them; the streaming classes, the reduction over processes and `regression_metrics` are this one code path.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

from conr._tensor_checks import check_pair
from conr.density import REGIONS, LabelDensity

METRIC_NAMES = ("count", "mae", "mse", "rmse", "gm", "bmae", "pearson", "spearman")

GM_EPSILON = 1e-10


def shot_metrics(density: LabelDensity, *, prefix: str = "") -> MetricCollection:
    r"""All metrics as one torchmetrics collection, updated with predictions and labels of shape (n,) or (n, k).

    ``compute`` gives a flat dictionary of float64 scalars: ``{prefix}mae`` over all samples, ``{prefix}mae_many``,
    ``_median`` and ``_few`` over the samples whose label lies in such a region, and so on for

    - ``count``: samples
    - ``mae``, ``mse``, ``rmse``: mean absolute and squared error, its root, over samples and label dimensions
    - ``gm``: geometric mean of the absolute errors, with $10^{-10}$ in place of exact zeros only
    - ``bmae``: balanced MAE, the mean over the density's bins of the MAE within the bin; empty bins are left out
    - ``pearson``, ``spearman``: correlation of predictions and labels, mean over label dimensions

    A region without samples has count 0 and NaN for the rest; a correlation of fewer than two samples or of
    constants is NaN too.

    Args:
        density: fitted on the training labels; gives bin and shot region of each label.
        prefix: put before each key.

    Raises:
        RuntimeError: a density that is not fitted.
        ValueError: (from update) shapes of predictions and labels differ.

    Notes:
        An update never makes a GPU wait: labels are not checked, and one outside the bins counts as in the nearest.
        Sums are float64. Only the correlations keep all samples, as ranks need them. With several processes the result
        is that of one process that has seen all samples.

    Example:
        >>> import torch
        >>> from conr.density import Bins, LabelDensity
        >>> density = LabelDensity(Bins([0, 1, 2]), many=2, few=2).fit(torch.tensor([0.5, 0.5, 0.5, 1.5]))
        >>> metrics = shot_metrics(density, prefix="test/")
        >>> metrics.update(torch.tensor([0.5, 1.0]), torch.tensor([0.25, 1.5]))
        >>> values = metrics.compute()
        >>> values["test/mae"].item(), values["test/mae_few"].item()
        (0.375, 0.5)
    """
    members: list[Metric] = [ErrorMetric(density), BalancedErrorMetric(density), CorrelationMetric(density)]
    # Every member returns its own keys; grouping by equal states would compare tensors in the first batch for nothing.
    return MetricCollection(members, prefix=prefix or None, compute_groups=False)


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
    metrics = shot_metrics(density)
    metrics.update(predictions, labels)
    return {name: float(value) for name, value in metrics.compute().items()}


class ErrorMetric(Metric):
    """``count``, ``mae``, ``mse``, ``rmse`` and ``gm`` from streaming sums; see `shot_metrics`."""

    full_state_update = False
    sums: Tensor

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(**settings)
        self.density = density
        self.add_state("sums", torch.zeros(1 + len(REGIONS), 4, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        errors = _errors(predictions, labels)
        self.sums += _error_statistics(errors, self.density.regions(labels, check=False))

    def compute(self) -> dict[str, Tensor]:
        """Metrics by name and region."""
        count, absolute, squared, logarithm = self.sums.T  # (1 + regions,) each; 0 / 0 is the NaN of an empty region
        mse = squared / count
        return {
            **_by_region("count", count),
            **_by_region("mae", absolute / count),
            **_by_region("mse", mse),
            **_by_region("rmse", mse.sqrt()),
            **_by_region("gm", (logarithm / count).exp()),
        }


class BalancedErrorMetric(Metric):
    """``bmae`` from streaming sums per bin; see `shot_metrics`."""

    full_state_update = False
    sums: Tensor

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(**settings)
        self.density = density
        self.add_state("sums", torch.zeros(len(density.fitted_bins()), 2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        index = self.density.fitted_bins().index(labels, check=False)  # (n,)
        self.sums += _bin_statistics(_errors(predictions, labels), index, len(self.sums))

    def compute(self) -> dict[str, Tensor]:
        """Balanced MAE by region."""
        count, absolute = self.sums.T  # (bins,), (bins,)
        occupied = count > 0
        region_of_bin = self.density.region_of_bin
        chosen = torch.stack([occupied, *(occupied & (region_of_bin == region) for region in range(len(REGIONS)))])
        per_bin = torch.where(chosen, absolute / count, 0)  # (1 + regions, bins)
        return _by_region("bmae", per_bin.sum(dim=1) / chosen.sum(dim=1))


class CorrelationMetric(Metric):
    """``pearson`` and ``spearman``; keeps all samples, as ranks need them. See `shot_metrics`."""

    full_state_update = False
    predictions: list[Tensor]
    labels: list[Tensor]

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(**settings)
        self.density = density
        self.add_state("predictions", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Keep a batch."""
        _check_shapes(predictions, labels)
        # Flat, as torchmetrics joins a process that has seen no batch as a tensor of shape (0,).
        self.predictions.append(predictions.detach().flatten())
        self.labels.append(labels.detach().flatten())

    def compute(self) -> dict[str, Tensor]:
        """Correlations by region."""
        if isinstance(self.labels, list) and not self.labels:
            missing = torch.full((1 + len(REGIONS),), torch.nan, dtype=torch.float64)
            return {**_by_region("pearson", missing), **_by_region("spearman", missing)}
        dimensions = self.density.fitted_bins().dimensions
        predictions = dim_zero_cat(self.predictions).double().reshape(-1, dimensions)  # (n, k)
        labels = dim_zero_cat(self.labels).reshape(-1, dimensions)  # (n, k)
        regions = self.density.regions(labels, check=False)  # (n,)
        labels = labels.double()
        parts = [torch.ones_like(regions, dtype=torch.bool), *(regions == region for region in range(len(REGIONS)))]
        return {
            **_by_region("pearson", torch.stack([_correlation(predictions[part], labels[part]) for part in parts])),
            **_by_region(
                "spearman",
                torch.stack([_correlation(_ranks(predictions[part]), _ranks(labels[part])) for part in parts]),
            ),
        }


def _check_shapes(predictions: Tensor, labels: Tensor) -> None:
    check_pair(predictions, labels)
    if predictions.shape != labels.shape or labels.ndim not in (1, 2):
        raise ValueError(
            "predictions and labels: expected equal shapes (n,) or (n, k), "
            f"got {tuple(predictions.shape)} and {tuple(labels.shape)}"
        )


def _errors(predictions: Tensor, labels: Tensor) -> Tensor:
    _check_shapes(predictions, labels)
    errors = (predictions.detach().double() - labels.detach().double()).abs()
    return errors.unsqueeze(1) if errors.ndim == 1 else errors  # (n, k)


def _error_statistics(errors: Tensor, regions: Tensor) -> Tensor:
    logarithms = torch.where(errors == 0, GM_EPSILON, errors).log()  # (n, k)
    one = torch.ones(len(errors), dtype=errors.dtype, device=errors.device)
    per_sample = torch.stack((one, errors.mean(1), errors.square().mean(1), logarithms.mean(1)), dim=1)  # (n, 4)
    sums = torch.zeros(1 + len(REGIONS), 4, dtype=errors.dtype, device=errors.device)
    sums[0] = per_sample.sum(dim=0)
    return sums.index_add_(0, 1 + regions, per_sample)


def _bin_statistics(errors: Tensor, index: Tensor, bins: int) -> Tensor:
    per_sample = torch.stack((torch.ones_like(errors[:, 0]), errors.mean(dim=1)), dim=1)  # (n, 2)
    return torch.zeros(bins, 2, dtype=errors.dtype, device=errors.device).index_add_(0, index, per_sample)


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


def _by_region(name: str, values: Tensor) -> dict[str, Tensor]:
    keys = (name, *(f"{name}_{region}" for region in REGIONS))
    return dict(zip(keys, values, strict=True))
