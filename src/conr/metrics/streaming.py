"""Metrics that add up over batches and processes: the functions of the other modules as torchmetrics classes."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

from conr.density import REGIONS, LabelDensity
from conr.metrics.angular import angular_statistics, angular_values
from conr.metrics.depth import depth_statistics, depth_values
from conr.metrics.shot import (
    balanced_statistics,
    balanced_values,
    check_shapes,
    correlation_values,
    error_statistics,
    error_values,
)


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


def gaze_metrics(density: LabelDensity, *, prefix: str = "") -> MetricCollection:
    """The metrics of `shot_metrics` (in radians) and ``angular``, the mean angular error (in degrees).

    Args:
        density: fitted on the training labels, pitch and yaw in radians.
        prefix: put before each key.

    Raises:
        RuntimeError: a density that is not fitted.
        ValueError: bins over another number of label dimensions than two; (from update) shapes that are not (n, 2).

    Example:
        >>> import torch
        >>> from conr.density import Bins, LabelDensity
        >>> labels = torch.tensor([[0.0, 0.0], [0.0, 0.1]])
        >>> density = LabelDensity(Bins([[-1, 1], [-1, 0.05, 1]])).fit(labels)
        >>> metrics = gaze_metrics(density, prefix="test/")
        >>> metrics.update(labels + torch.tensor([0.02, 0.0]), labels)
        >>> round(metrics.compute()["test/angular"].item(), 3)
        1.146
    """
    metrics = shot_metrics(density, prefix=prefix)
    metrics.add_metrics(AngularErrorMetric(density))
    return metrics


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


class _SumsMetric(Metric):
    """Base of metrics that follow from sums over batches, float64 of a shape."""

    full_state_update = False
    statistics: ClassVar[Callable[..., Tensor]]
    """Gives the sums of a batch: of predictions, labels and a density."""
    sums: Tensor

    def __init__(self, density: LabelDensity, *shape: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.density = density
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a batch, of shapes that the statistics take."""
        self.sums += self.statistics(predictions, labels, self.density)


class ErrorMetric(_SumsMetric):
    """``count``, ``mae``, ``mse``, ``rmse`` and ``gm`` from streaming sums; see `shot_metrics`."""

    statistics = staticmethod(error_statistics)

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(density, 1 + len(REGIONS), 4, **settings)

    def compute(self) -> dict[str, Tensor]:
        """Metrics by name and region."""
        return error_values(self.sums)


class BalancedErrorMetric(_SumsMetric):
    """``bmae`` from streaming sums per bin; see `shot_metrics`."""

    statistics = staticmethod(balanced_statistics)

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(density, len(density.fitted_bins()), 2, **settings)

    def compute(self) -> dict[str, Tensor]:
        """Balanced MAE by region."""
        return balanced_values(self.sums, self.density)


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
        check_shapes(predictions, labels)
        # Flat, as torchmetrics joins a process that has seen no batch as a tensor of shape (0,).
        self.predictions.append(predictions.detach().flatten())
        self.labels.append(labels.detach().flatten())

    def compute(self) -> dict[str, Tensor]:
        """Correlations by region."""
        dimensions = self.density.fitted_bins().dimensions
        if isinstance(self.labels, list) and not self.labels:
            return correlation_values(torch.empty(0, dimensions), torch.empty(0, dimensions), self.density)
        predictions = dim_zero_cat(self.predictions).reshape(-1, dimensions)  # (n, k)
        labels = dim_zero_cat(self.labels).reshape(-1, dimensions)  # (n, k)
        return correlation_values(predictions, labels, self.density)


class AngularErrorMetric(_SumsMetric):
    """``angular``: mean of `angular_error` in degrees, over all samples and per shot region, from streaming sums.

    ``compute`` gives ``angular``, ``angular_many``, ``angular_median`` and ``angular_few``, float64 scalars in degrees;
    NaN for a region without samples. With several processes the result is that of one that has seen all samples.

    Args:
        density: fitted on the training labels, pitch and yaw in radians; gives the shot region of each label.
        **settings: of `torchmetrics.Metric`.
    """

    statistics = staticmethod(angular_statistics)

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        dimensions = density.fitted_bins().dimensions
        if dimensions != 2:
            raise ValueError(f"density: expected bins over two label dimensions, pitch and yaw, got {dimensions}")
        super().__init__(density, 1 + len(REGIONS), 2, **settings)

    def compute(self) -> dict[str, Tensor]:
        """Mean angular error in degrees by region."""
        return angular_values(self.sums)


class DepthMetric(_SumsMetric):
    """All metrics of `depth_metrics` from streaming sums per bin.

    Args:
        density: fitted; gives bin and shot region of each depth.
        **settings: of `torchmetrics.Metric`.
    """

    statistics = staticmethod(depth_statistics)

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(density, len(density.fitted_bins()), 8, **settings)

    def compute(self) -> dict[str, Tensor]:
        """Metrics by name and region."""
        return depth_values(self.sums, self.density)
