import pickle
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.estimator_checks import failed_checks

from conr.density import Bins
from conr.rare import Rebalanced


def noisy(n: int, seed: int) -> tuple[Any, Any]:
    """Skewed labels, and inputs that tell them with an error: predictions shrink."""
    random = np.random.default_rng(seed)
    y = random.gamma(1.0, 10.0, n)
    return (y + random.normal(size=n) * 10)[:, None], y


BINS = Bins.by_width(width=5, low=0, high=100)
X, Y = noisy(500, 0)
NEW_X, NEW_Y = noisy(4000, 1)


def balanced(errors: Any, labels: Any) -> float:
    index = np.floor(labels / 5)
    return float(np.mean([errors[index == one].mean() for one in np.unique(index)]))


@pytest.mark.parametrize("kind", ["linear", "isotonic"])
def test_a_map_is_the_weighted_fit_of_cross_fitted_predictions(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(300, 1))
    y = np.repeat([1.0, 2.0, 9.0], [200, 75, 25]) + x[:, 0] * 0.01
    model = Rebalanced(Ridge(), 0.75, kind, bins=Bins([0, 1.5, 5, 10]), random_state=0).fit(x, y)
    weights = np.repeat([200.0, 75.0, 25.0], [200, 75, 25]) ** -0.75
    plain = model._targets[0].pairs().predictions
    fold = model._targets[0].fold
    for own in range(5):
        expected = Ridge().fit(x[fold != own], y[fold != own]).predict(x[fold == own])
        np.testing.assert_allclose(plain[fold == own], expected)
    if kind == "linear":
        line = LinearRegression().fit(plain[:, None], y, sample_weight=weights)
        slope = max(line.coef_[0], 0)
        expected = np.average(y, weights=weights) + slope * (plain - np.average(plain, weights=weights))
    else:
        expected = IsotonicRegression().fit(plain, y, sample_weight=weights).predict(plain)
    np.testing.assert_allclose(model.corrections_[0](plain), expected, rtol=1e-4)


def test_shrunken_predictions_are_corrected() -> None:
    model = Rebalanced(Ridge(), bins=BINS, random_state=0).fit(X, Y)
    assert model.corrections_[0].kind in ("linear", "isotonic")
    plain, corrected = (np.abs(one.predict(NEW_X) - NEW_Y) for one in (model.estimator_, model))
    assert balanced(corrected, NEW_Y) < 0.9 * balanced(plain, NEW_Y)
    assert set(model.judged_[0]) == {"none", "linear", "isotonic"}
    judged = model.judged_[0]["none"]
    assert judged.gain == judged.standard_error == 0
    found = model.tradeoff(NEW_X, NEW_Y)
    assert found.few[1] > found.few[-1] < found.few[0]
    assert found.many[1] < found.many[-1]
    assert found.power[1:] == [0, 0.25, 0.5, 0.75, 1]
    assert found.all[3] == pytest.approx(corrected.mean())
    assert found.all[0] == pytest.approx(plain.mean())
    axes = found.plot()
    assert [text.get_text() for text in axes.texts] == ["0", "0.25", "0.5", "0.75", "1", "as it is"]


def test_rare_bins_of_one_row_are_not_corrected() -> None:
    """Cross-fitted predictions of single rows have no support, those of the final model do.

    The map that they promise adds far more than the 73 % of the prototype to the few-shot error.
    """
    common = np.linspace(0, 1, 300)
    rare = 2 + np.arange(12.0)
    x = np.concatenate((common, rare))[:, None]
    y = np.concatenate((common, 10 * rare))  # one row in each bin of width 5
    random = np.random.default_rng(0)
    model = Rebalanced(KNeighborsRegressor(1), bins=Bins.by_width(width=5, low=0, high=150), random_state=0).fit(x, y)
    new = np.repeat(rare, 20) + random.uniform(-0.2, 0.2, 240)
    labels = 10 * new
    plain = np.abs(model.estimator_.predict(new[:, None]) - labels).mean()
    found = np.abs(model.predict(new[:, None]) - labels).mean()
    naive = cross_val_predict(KNeighborsRegressor(1), x, y, cv=KFold(5, shuffle=True, random_state=0))
    index = np.floor(y / 5)
    weights = np.array([(index == one).sum() ** -0.5 for one in index])
    line = LinearRegression().fit(naive[:, None], y, sample_weight=weights)
    added = np.abs(line.predict(model.estimator_.predict(new[:, None])[:, None]) - labels).mean() / plain
    assert added > 1.73
    assert found <= 1.02 * plain


def test_random_labels_gain_nothing_by_the_choice() -> None:
    """Uniform labels that the inputs say nothing about: what the choice promises, new rows would have to keep."""
    promised, kept = [], []
    bins = Bins.by_width(width=0.1, low=0, high=1)
    for seed in range(20):
        random = np.random.default_rng(seed)
        x, y = random.normal(size=(100, 4)), random.uniform(size=100)
        model = Rebalanced(LinearRegression(), cv=3, bins=bins, random_state=seed).fit(x, y)
        new, labels = random.normal(size=(2000, 4)), random.uniform(size=2000)
        errors = [np.abs(one.predict(new) - labels).mean() for one in (model.estimator_, model)]
        kept.append(errors[0] - errors[1])
        promised.append(max(one.gain for kind, one in model.judged_[0].items() if kind == "linear"))
    error = np.std(promised) / np.sqrt(len(promised))
    assert np.mean(promised) < np.mean(kept) + 3 * error + 0.005
    assert abs(np.mean(kept)) < 0.01  # labels have a mean absolute deviation of 0.25


def test_few_rows_allow_few_degrees_of_freedom() -> None:
    for n, kinds in ((15, set()), (40, {"none", "linear"}), (500, {"none", "linear", "isotonic"})):
        assert set(Rebalanced(Ridge(), 0.0, bins=BINS).fit(X[:n], Y[:n]).judged_[0]) == kinds
    for given, n, kind in (
        ("isotonic", 500, "isotonic"),
        ("isotonic", 40, "linear"),
        ("isotonic", 15, "none"),
        ("linear", 15, "none"),
    ):
        assert Rebalanced(Ridge(), 0.0, given, bins=BINS).fit(X[:n], Y[:n]).corrections_[0].kind == kind
    alone = np.arange(30.0) * 5
    model = Rebalanced(Ridge(), map="isotonic", bins=Bins.by_width(width=5, low=0, high=200)).fit(alone[:, None], alone)
    assert model.corrections_[0].kind == "none"


def test_a_correction_goes_on_beyond_the_predictions_that_it_was_fitted_on() -> None:
    model = Rebalanced(Ridge(), map="linear", random_state=0).fit(X, Y)
    correction = model.corrections_[0]
    low, high = correction.places
    beyond = np.array([low - 7, high + 9])
    np.testing.assert_allclose(correction(beyond), correction.values + np.array([-7, 9]))


def test_a_fitted_model_with_rows_that_it_has_not_seen() -> None:
    fitted = Ridge().fit(*noisy(500, 2))
    model = Rebalanced(fitted, cv="prefit", bins=BINS, random_state=0).fit(X, Y)
    assert model.estimator_ is fitted
    plain, corrected = (np.abs(one.predict(NEW_X) - NEW_Y) for one in (fitted, model))
    assert balanced(corrected, NEW_Y) < 0.9 * balanced(plain, NEW_Y)
    given = Rebalanced(fitted, map="linear", cv="prefit", bins=BINS).fit(X, Y)
    weights = model.density_.counts.numpy()[np.floor(Y / 5).astype(int)] ** -0.5
    line = LinearRegression().fit(fitted.predict(X)[:, None], Y, sample_weight=weights)
    inside = NEW_X[(NEW_X[:, 0] > X.min()) & (NEW_X[:, 0] < X.max())]
    np.testing.assert_allclose(given.predict(inside), line.predict(fitted.predict(inside)[:, None]), rtol=1e-4)


class Recording(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts the mean; records the numbers of the rows that it was fitted on."""

    seen: ClassVar[list[set[int]]] = []

    def fit(self, X: Any, y: Any, number: Any = None) -> Any:  # noqa: N803
        self.mean_ = np.mean(y)
        self.seen.append(set(number))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.full(len(X), self.mean_)


def test_models_that_judge_have_not_seen_the_rows() -> None:
    Recording.seen.clear()
    model = Rebalanced(Recording(), cv=3, bins=BINS, random_state=0).fit(X, Y, number=np.arange(500))
    everything, *others = Recording.seen
    assert everything == set(range(500))
    folds = [set(np.flatnonzero(model._targets[0].fold == one)) for one in range(3)]
    left_out = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    assert others == [everything - folds[one] - folds[other] for one, other in left_out]


def test_frames_pipelines_several_targets_and_searches() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "place": pd.Categorical(np.where(Y > 9, "town", "village"))})
    frame.loc[::7, "size"] = None
    boosting = HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4)
    model = Rebalanced(boosting, map="linear", cv=2, random_state=0).fit(frame, pd.Series(Y))
    assert pickle.loads(pickle.dumps(model)).predict(frame).tolist() == model.predict(frame).tolist()  # noqa: S301
    both = Rebalanced(make_pipeline(StandardScaler(), Ridge()), random_state=0).fit(X, np.stack((Y, -Y), axis=1))
    assert len(both.corrections_) == 2
    np.testing.assert_allclose(both.predict(X).sum(axis=1), 0, atol=1e-2)
    search = GridSearchCV(clone(Rebalanced(Ridge())), {"power": [0.0, 1.0], "estimator__alpha": [1.0]}, cv=2)
    assert search.fit(X, Y).best_params_["power"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"power": -1}, "power: expected a number of at least 0"),
        ({"map": "linaer"}, "map: expected one of .*did you mean 'linear'"),
        ({"cv": 2}, "cv: expected a number of at least 3, got 2"),
        ({"cv": "fitted"}, "cv: expected one of 'prefit'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rebalanced(Ridge(), **arguments).fit(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_checks_of_scikit_learn() -> None:
    assert failed_checks(Rebalanced(LinearRegression(), cv=3)) == {}
