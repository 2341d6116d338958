"""Scorers for model selection that know which training labels are rare."""

from typing import Any

import numpy as np
import torch
from sklearn.metrics import make_scorer

from conr._checks import check_choice
from conr.density import GROUPS
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.metrics.sera import Relevance, error_relevance_area
from conr.metrics.shot import METRIC_NAMES, regression_metrics
from conr.rare.labels import checked_labels, chosen_bins

_HIGHER_IS_BETTER = ("pearson", "spearman")


def _names() -> dict[str, str]:
    """Names of scorers to keys of `regression_metrics`."""
    metrics = [name for name in METRIC_NAMES if name != "count"]
    names = {name: name for name in metrics}
    return names | {f"{region}_{name}": f"{name}_{region}" for region in GROUPS[1:] for name in metrics}


def rare_scorer(
    name: str,
    y_train: Any,
    *,
    bins: Bins | None = None,
    many: int = 100,
    few: int = 20,
    relevance: Relevance | None = None,
) -> Any:
    """Make a scorer for `cross_val_score` and `GridSearchCV` from an error that takes rare labels into account.

    Which labels are rare is settled by all training labels, once: counted in a fold, as many as the fold has would
    be rare.

    Args:
        name: ``"bmae"`` (mean over label bins of the mean absolute error), ``"sera"``, ``"mae"``, ``"mse"``,
            ``"rmse"``, ``"gm"``, ``"pearson"`` or ``"spearman"``; of a shot region with ``many_``, ``median_`` or
            ``few_`` before it, as ``"few_mae"``, but for ``"sera"``.
        y_train: labels of all training rows, shape (n,) or (n, k).
        bins: of the labels; those of `conr.density.label_bins` if None. Labels outside belong to the nearest bin.
        many: a label's bin with more training rows is many-shot.
        few: a label's bin with fewer training rows is few-shot.
        relevance: for ``"sera"``; both ends of the training labels' box plot if None.

    Returns:
        ``scorer(estimator, X, y)``: the negative error, or the correlation. It is NaN if no row is in the region:
        `BinnedKFold` avoids that.

    Raises:
        ValueError: an unknown name, a relevance with another name than "sera", or labels that are not finite.

    Example:
        >>> import numpy as np
        >>> from sklearn.dummy import DummyRegressor
        >>> y = np.array([1.0] * 30 + [5.0] * 2)
        >>> model = DummyRegressor(strategy="median").fit(y, y)
        >>> float(rare_scorer("few_mae", y)(model, y, y)), float(rare_scorer("bmae", y)(model, y, y))
        (-4.0, -2.0)
    """
    names = _names()
    check_choice("name", name, [*names, "sera"])
    if relevance is not None and name != "sera":
        raise ValueError(f"relevance: expected the name 'sera' to go with it, got {name!r}")
    labels = checked_labels(y_train)
    if name == "sera":
        return make_scorer(_area, greater_is_better=False, relevance=relevance or Relevance.of_labels(labels))
    density = LabelDensity(many=many, few=few).fit(labels, chosen_bins(labels, bins))
    better = name.rpartition("_")[2] in _HIGHER_IS_BETTER
    return make_scorer(_metric, greater_is_better=better, key=names[name], density=density)


def _metric(labels: Any, predictions: Any, *, key: str, density: LabelDensity) -> float:
    return regression_metrics(*_tensors(labels, predictions), density)[key]


def _area(labels: Any, predictions: Any, *, relevance: Relevance) -> float:
    return error_relevance_area(*_tensors(labels, predictions), relevance)


def _tensors(labels: Any, predictions: Any) -> tuple[torch.Tensor, torch.Tensor]:
    found = checked_labels(labels)
    return torch.from_numpy(np.array(predictions, dtype=np.float64)).reshape(found.shape), torch.from_numpy(found)
