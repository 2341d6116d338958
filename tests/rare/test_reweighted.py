from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.estimator_checks import failed_checks

from conr.density import Bins, DenseWeight, LabelDensity
from conr.rare import Reweighted
from conr.rare.wrapped import draw, weight_argument

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 3))
Y = np.exp(X[:, 0]) + RANDOM.normal(size=200) * 0.1
SQINV = LabelDensity(scheme="sqrt_inverse")


def weights(labels: Any) -> Any:
    """Of SQINV in whole bins of width 1, by a loop."""
    index = np.floor(labels).astype(int)
    found = np.array([1 / np.sqrt((index == one).sum()) for one in index])
    return found * len(found) / found.sum()


BINS = Bins.by_width(width=1, low=-1, high=100)
INNER = [
    Ridge(),
    make_pipeline(StandardScaler(), Ridge()),
    TransformedTargetRegressor(make_pipeline(StandardScaler(), Ridge())),
    make_pipeline(StandardScaler(), TransformedTargetRegressor(Ridge())),
    GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2),
]


@pytest.fixture(params=[False, True], ids=["plain", "routing"])
def routing(request: pytest.FixtureRequest) -> Iterator[bool]:
    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.mark.parametrize("inner", INNER, ids=["model", "pipeline", "target", "nested", "search"])
def test_weights_reach_the_model_inside(inner: Any, routing: bool) -> None:
    model = Reweighted(inner, bins=BINS).fit(X, Y)
    scaled = X if inner in (INNER[0], INNER[4]) else StandardScaler().fit_transform(X)  # the scaler sees no weights
    expected = Ridge().fit(scaled, Y, sample_weight=weights(Y)).predict(scaled)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6)
    again = clone(Reweighted(model, "none")).fit(X, Y, sample_weight=np.ones(len(Y)))
    np.testing.assert_allclose(again.predict(X), expected, rtol=1e-5, atol=1e-6)


def test_what_a_fit_asks_for_is_handed_on(routing: bool) -> None:
    class Model(Ridge):  # type: ignore[misc]
        def fit(self, X: Any, y: Any, sample_weight: Any = None, names: Any = None) -> Any:  # noqa: N803
            self.names_ = names
            return super().fit(X, y, sample_weight)

    inner = Model().set_fit_request(names=True) if routing else Model()
    assert Reweighted(inner).fit(X, Y, names=["a"]).estimator_.names_ == ["a"]


def test_rows_are_drawn_for_a_model_without_weights() -> None:
    rows = draw(np.array([0.5, 2.0, 0.0, 1.5]), np.random.default_rng(0))
    counts = np.bincount(rows, minlength=4)
    assert counts[1] == 2
    assert counts[2] == 0
    assert counts.sum() == 4
    many = [np.bincount(draw(np.array([0.5, 2.2, 0.3]), np.random.default_rng(s)), minlength=3) for s in range(3000)]
    np.testing.assert_allclose(np.mean(many, axis=0), [0.5, 2.2, 0.3], atol=0.03)

    assert weight_argument(KNeighborsRegressor()) is None
    assert weight_argument(make_pipeline(StandardScaler(), KNeighborsRegressor())) is None
    assert weight_argument(MultiOutputRegressor(KNeighborsRegressor())) is None
    assert weight_argument(MultiOutputRegressor(Ridge())) == "sample_weight"
    neighbours = make_pipeline(StandardScaler(), KNeighborsRegressor(25))
    plain = clone(neighbours).fit(X, Y).predict(X)
    model = Reweighted(neighbours, "inverse", random_state=0).fit(X, Y)
    rare = Y > 4
    assert np.abs(model.predict(X) - Y)[rare].mean() < 0.8 * np.abs(plain - Y)[rare].mean()
    assert (model.predict(X) == Reweighted(neighbours, "inverse", random_state=0).fit(X, Y).predict(X)).all()


@pytest.mark.parametrize("scheme", [LabelDensity(scheme="power", power=0.5), LabelDensity(BINS, scheme="sqrt_inverse")])
def test_other_weights(scheme: LabelDensity) -> None:
    expected = Ridge().fit(X, Y, sample_weight=weights(Y)).predict(X)
    np.testing.assert_allclose(
        Reweighted(Ridge(), scheme, bins=BINS).fit(X, Y).predict(X), expected, rtol=1e-5, atol=1e-6
    )
    assert Reweighted(Ridge(), DenseWeight()).fit(X, Y).predict(X).shape == Y.shape
    with pytest.raises(RuntimeError, match="has not seen training labels"):  # a copy was fitted
        scheme.fitted_bins()


def test_frames_missing_values_categories_and_several_targets() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "place": pd.Categorical(np.where(X[:, 1] > 0, "town", "village"))})
    frame.loc[::7, "size"] = None
    model = Reweighted(HistGradientBoostingRegressor(max_iter=5)).fit(frame, pd.Series(Y))
    assert model.predict(frame).shape == (200,)
    assert model.feature_names_in_.tolist() == ["size", "place"]
    both = Reweighted(Ridge()).fit(X, np.stack((Y, X[:, 1]), axis=1))
    assert both.predict(X).shape == (200, 2)
    search = GridSearchCV(Reweighted(Ridge()), {"scheme": ["none", "inverse"], "estimator__alpha": [1.0]}, cv=2)
    assert search.fit(X, Y).best_params_["scheme"] in ("none", "inverse")


def test_weights_of_the_user_multiply_and_zeros_are_not_counted() -> None:
    own = np.where(np.arange(len(Y)) < 150, 2.0, 0.0)
    model = Reweighted(Ridge(alpha=1e-8), bins=BINS).fit(X, Y, own)
    expected = Ridge(alpha=1e-8).fit(X[:150], Y[:150], sample_weight=weights(Y[:150])).predict(X)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("scheme", "weight", "message"),
    [
        ("sqinv", None, "scheme: expected one of 'none', 'inverse', 'sqrt_inverse', got 'sqinv'"),
        ("none", np.ones(3), r"sample_weight: expected shape \(200,\), got \(3,\)"),
        ("none", -np.ones(200), "sample_weight: expected finite numbers of at least 0"),
    ],
)
def test_wrong_arguments(scheme: str, weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reweighted(Ridge(), scheme).fit(X, Y, weight)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_checks_of_scikit_learn() -> None:
    assert failed_checks(Reweighted(LinearRegression())) == {}
