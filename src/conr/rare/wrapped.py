"""A regressor around another one: tags, names of columns, metadata routing, and fits with weights or on some rows."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from conr.density.bins import Bins
from conr.rare.labels import Floats, Positions, take


class Wrapped(MetaEstimatorMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the parts around ``estimator``, which is ``estimator_`` once it is fitted.

    Args:
        estimator: regressor or pipeline.
        bins: of the labels, or None.
        random_state: seed, generator or None.
    """

    estimator_: Any

    def __init__(self, estimator: Any, *, bins: Bins | None, random_state: Any) -> None:
        self.estimator = estimator
        self.bins = bins
        self.random_state = random_state

    def predict(self, X: Any) -> Any:  # noqa: N803  scikit-learn's name
        """Predictions of the regressor, shape (n,) or (n, k).

        Raises:
            NotFittedError: not fitted.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @property
    def n_features_in_(self) -> int:
        """Columns of X, as the fitted estimator tells them."""
        return int(self.estimator_.n_features_in_)

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns of X, if they have some."""
        return self.estimator_.feature_names_in_

    def get_metadata_routing(self) -> Any:
        """Routes of metadata: `fit` hands on everything but ``sample_weight``, to the estimator's `fit`."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add_self_request(self).add(estimator=self.estimator, method_mapping=mapping)

    def _routed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the estimator's `fit`."""
        if params and routing_enabled():
            return dict(process_routing(self, "fit", **params).estimator.fit)
        return dict(params)

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags.multi_output = inner.target_tags.multi_output
        tags.non_deterministic = inner.non_deterministic
        if inner.regressor_tags is not None:
            tags.regressor_tags.poor_score = inner.regressor_tags.poor_score
        return tags


def routing_enabled() -> bool:
    """Ask scikit-learn's settings if it routes metadata."""
    return bool(get_config()["enable_metadata_routing"])


def checked_weights(sample_weight: Any, n: int) -> Floats:
    """Weights of rows, shape (n,); ones if None.

    Raises:
        ValueError: another shape, or a weight that is not finite or negative.
    """
    if sample_weight is None:
        return np.ones(n)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight: expected shape ({n},), got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("sample_weight: expected finite numbers of at least 0 that are not all zero")
    return weights


def fit_weighted(
    estimator: Any, rows: Any, labels: Any, weights: Floats | None, params: Mapping[str, Any], *, seed: int
) -> Any:
    """Fit with weights; on rows drawn by weight if the model that counts takes none.

    Args:
        estimator: which is fitted itself: a clone.
        rows: X, as the estimator takes it.
        labels: y.
        weights: shape (n,), none negative; no weights if None.
        params: other arguments of its `fit`; those with an entry per row are drawn like the rows.
        seed: of the draw.

    Returns:
        The fitted estimator.
    """
    if weights is None:
        return estimator.fit(rows, labels, **params)
    name = weight_argument(estimator)
    if name is None:
        drawn = draw(weights, np.random.default_rng(seed))
        return estimator.fit(take(rows, drawn), take(labels, drawn), **params_of(params, drawn, len(weights)))
    if routing_enabled():
        _request_weights(estimator)
        name = "sample_weight"
    return estimator.fit(rows, labels, **{**params, name: weights})


def params_of(params: Mapping[str, Any], positions: Positions, n: int) -> dict[str, Any]:
    """Arguments of `fit` for some of n rows."""

    def has_rows(value: Any) -> bool:
        return not isinstance(value, str | bytes | dict) and np.ndim(value) > 0 and len(value) == n

    return {name: take(value, positions) if has_rows(value) else value for name, value in params.items()}


def weight_argument(estimator: Any) -> str | None:
    """Name of the argument of `fit` that brings weights of rows to the model that counts; None if it takes none.

    The model that counts is the last step of a pipeline, and the model inside of one that wraps another.
    """
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        name = weight_argument(last)
        return None if name is None else f"{step}__{name}"
    inner, takes = _inside(estimator), has_fit_parameter(estimator, "sample_weight")
    if inner is None:
        return "sample_weight" if takes or (_hands_on(estimator) and hasattr(estimator, "regressor")) else None
    name = weight_argument(inner)
    return name if _hands_on(estimator) and not takes else "sample_weight" if takes and name else None


def draw(weights: Floats, random: np.random.Generator) -> Positions:
    """As many rows as there are, each with its share of the weights, rounded up or down, in random order.

    Systematic sampling: of all draws with these expectations it changes the counts least.
    """
    ends = np.cumsum(weights / weights.sum())  # (n,)
    points = (np.arange(len(weights)) + random.random()) / len(weights)  # (n,)
    found: Positions = np.searchsorted(ends, points, side="right").clip(max=np.flatnonzero(weights)[-1])
    return random.permutation(found)


def _inside(estimator: Any) -> Any:
    """The model inside of one that wraps another, as scikit-learn names it."""
    return getattr(estimator, "regressor", None) or getattr(estimator, "estimator", None)


def _hands_on(estimator: Any) -> bool:
    kinds = [one.kind for one in inspect.signature(estimator.fit).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _request_weights(estimator: Any) -> None:
    """Let scikit-learn's routing bring weights to the model that counts, and to no step that did not ask for them."""
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps[:-1]:
            if has_fit_parameter(step, "sample_weight"):
                asked = step.get_metadata_routing()
                if asked.fit.requests.get("sample_weight") is None:
                    step.set_fit_request(sample_weight=False)
        _request_weights(estimator.steps[-1][1])
    elif not has_fit_parameter(estimator, "sample_weight"):
        _request_weights(_inside(estimator))
    else:
        estimator.set_fit_request(sample_weight=True)
        asked = estimator.get_metadata_routing()
        if hasattr(asked, "score") and asked.score.requests.get("sample_weight", "none") is None:
            estimator.set_score_request(sample_weight=False)
