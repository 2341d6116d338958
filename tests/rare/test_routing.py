"""Arguments of `fit` reach the model inside of the parts, with and without scikit-learn's metadata routing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conr.density import Bins
from conr.rare import RareIntervals, Rebalanced, Reweighted

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 2))
Y = np.exp(X[:, 0]) + RANDOM.normal(size=400) * 0.1
WEIGHTS = RANDOM.uniform(0.1, 5, 400)
BINS = Bins.by_width(width=1, low=-1, high=100)
PARTS: list[Any] = [
    lambda inner: Rebalanced(inner, map="linear", bins=BINS, random_state=0),
    lambda inner: RareIntervals(inner, cv="split", bins=BINS, random_state=0),
    lambda inner: RareIntervals(inner, cv=3, bins=BINS, random_state=0),
]


@pytest.fixture(params=[False, True], ids=["plain", "routing"])
def routing(request: pytest.FixtureRequest) -> Iterator[bool]:
    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.mark.parametrize("part", PARTS, ids=["rebalanced", "split", "folds"])
@pytest.mark.parametrize("in_pipeline", [False, True], ids=["model", "pipeline"])
def test_weights_reach_the_model_that_counts(part: Any, in_pipeline: bool, routing: bool) -> None:
    ridge = Ridge().set_fit_request(sample_weight=True) if routing else Ridge()
    scaler = StandardScaler().set_fit_request(sample_weight=False) if routing else StandardScaler()
    inner = make_pipeline(scaler, ridge) if in_pipeline else ridge
    name = "sample_weight" if routing or not in_pipeline else "ridge__sample_weight"
    weighted = part(inner).fit(X, Y, **{name: WEIGHTS})
    plain = part(inner).fit(X, Y)
    rows = np.arange(len(Y))
    if weighted.__class__ is RareIntervals and weighted.cv == "split":
        rows = np.array(sorted(seen_rows(part)))
    expected = Ridge().fit(X[rows], Y[rows], sample_weight=WEIGHTS[rows])
    found = weighted.estimator_.predict(X)
    if not in_pipeline:
        np.testing.assert_allclose(found, expected.predict(X))
    assert np.abs(found - plain.estimator_.predict(X)).max() > 1e-3


def seen_rows(part: Any) -> set[int]:
    """Rows that the model inside is fitted on, told by a model that notes them."""

    class Noting(Ridge):  # type: ignore[misc]
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:  # noqa: N803
            self.rows_ = {int(np.flatnonzero((one == RAW).all(axis=1))[0]) for one in X}
            return super().fit(X, y, sample_weight)

    found: set[int] = part(Noting()).fit(X, Y).estimator_.rows_
    return found


RAW = X


def test_weights_of_the_user_pass_a_part_around_another(routing: bool) -> None:
    inner = Reweighted(Ridge(), "none", bins=BINS)
    inner = inner.set_fit_request(sample_weight=True) if routing else inner
    found = Rebalanced(inner, map="none", cv=2, bins=BINS).fit(X, Y, sample_weight=WEIGHTS).predict(X)
    np.testing.assert_allclose(found, Ridge().fit(X, Y, sample_weight=WEIGHTS).predict(X), rtol=1e-5)


@pytest.mark.parametrize("part", PARTS, ids=["rebalanced", "split", "folds"])
def test_a_part_stands_in_a_pipeline(part: Any) -> None:
    whole = make_pipeline(StandardScaler(), part(Ridge())).fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(whole.predict(X), part(Ridge()).fit(scaled, Y).predict(scaled))


def test_what_was_not_asked_for_is_refused_with_routing() -> None:
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"),
    ):
        Rebalanced(Ridge(), map="linear").fit(X, Y, sample_weight=WEIGHTS)
