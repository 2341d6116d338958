import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.estimator_checks import failed_checks

from conr.density import Bins
from conr.rare import RareIntervals

BINS = Bins.by_width(width=5, low=0, high=100)


def noisy(n: int, seed: int) -> tuple[Any, Any]:
    """Skewed labels, and inputs that tell them with an error: predictions shrink, most for the rare ones."""
    random = np.random.default_rng(seed)
    y = random.gamma(1.0, 10.0, n)
    return (y + random.normal(size=n) * 10)[:, None], y


X, Y = noisy(500, 0)
NEW_X, NEW_Y = noisy(4000, 1)


def test_coverage_holds_in_every_group_of_labels_over_200_draws() -> None:
    """A plain split conformal interval covers 90 % of all labels, and below 60 % of the rarest tenth."""
    coverage, groups = 0.9, 4
    hits, counts = np.zeros(groups), np.zeros(groups)
    plain_all, plain_rare = [], []
    fitted = Ridge().fit(*noisy(500, 1000))
    bins = Bins([0, 5, 12, 23, 100])  # 23: nine tenths lie below
    for draw in range(200):
        x, y = noisy(200, draw)
        model = RareIntervals(fitted, coverage, cv="prefit", bins=bins).fit(x, y)
        assert model.groups_ == Bins([0, 5, 12, 23, 100], clamp=True)
        new, labels = noisy(200, 5000 + draw)
        sets = model.predict_set(new)
        group = np.digitize(labels, [5, 12, 23])
        inside = ((sets[:, :, 0] <= labels[:, None]) & (labels[:, None] <= sets[:, :, 1])).any(axis=1)
        hits += np.bincount(group, inside, minlength=groups)
        counts += np.bincount(group, minlength=groups)
        errors = np.sort(np.abs(fitted.predict(x) - y))
        plain = np.abs(fitted.predict(new) - labels) <= errors[math.ceil(201 * coverage) - 1]
        plain_all.append(plain.mean())
        plain_rare.append(plain[labels > 23].mean())
    assert np.mean(plain_all) == pytest.approx(coverage, abs=0.01)
    assert np.mean(plain_rare) < 0.6
    # A draw's coverage is Beta distributed about 0.9 by its calibration rows, n in a group: so is the mean of 200.
    calibration = counts / 200
    deviation = np.sqrt(coverage * (1 - coverage) * (1 / counts + 1 / (200 * (calibration + 2))))
    found = hits / counts
    assert (found > coverage - 3 * deviation).all()
    assert (found < coverage + 1 / (calibration + 1) + 3 * deviation).all()


@pytest.mark.parametrize("cv", ["split", 5])
def test_rows_that_calibrate_are_others_than_the_model_has_seen(cv: Any) -> None:
    model = RareIntervals(Ridge(), cv=cv, bins=BINS, random_state=0).fit(X, Y)
    found = model.evaluate(NEW_X, NEW_Y)
    assert found["all"]["count"] == 4000
    assert found["many"]["count"] + found["median"]["count"] + found["few"]["count"] == 4000
    for region in found.values():
        assert region["coverage"] > 0.65  # of one draw, with some ten rows for the rarest group
        assert 0 < region["set_width"] <= region["width"]
    assert found["few"]["set_width"] > found["many"]["set_width"]
    ends = model.predict_interval(NEW_X)
    sets = model.predict_set(NEW_X)
    assert sets.shape == (4000, len(model.groups_), 2)
    assert (ends[:, 0] <= model.predict(NEW_X)).all()
    assert (model.predict(NEW_X) <= ends[:, 1]).all()
    assert (np.nanmin(sets[:, :, 0], axis=1) == ends[:, 0]).all()
    if cv == "split":  # of each group a quarter
        assert len(model.groups_) > 1
        quantile = np.abs(model.estimator_.predict(X) - Y)
        assert model.quantiles_.max() <= quantile.max()


def test_quantiles_and_groups_by_hand() -> None:
    class Zero(Ridge):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:  # noqa: N803
            return np.zeros(len(X))

    y = np.array([*np.linspace(0, 0.9, 10), *np.linspace(1, 1.9, 9), 2.5, 3.5, *[4.5] * 8])
    model = RareIntervals(Zero().fit(y[:, None], y), 0.9, cv="prefit", bins=Bins([0, 1, 2, 3, 4, 5])).fit(y[:, None], y)
    assert model.groups_.edges[0].tolist() == [0, 1, 2, 5]  # 2.5 and 3.5 have eight more beside them
    assert model.quantiles_.tolist() == pytest.approx([0.9, 1.9, 4.5])
    assert model.predict_set([[0.0]])[0].tolist() == pytest.approx(np.array([[-0.9, 0.9], [1, 1.9], [2, 4.5]]))
    assert model.predict_interval([[0.0]])[0].tolist() == pytest.approx([-0.9, 4.5])
    half = RareIntervals(model.estimator_, 0.5, cv="prefit", bins=Bins([0, 1, 2, 3, 4, 5])).fit(y[:, None], y)
    assert half.quantiles_.tolist() == pytest.approx([0.5, 1.45, 2.5, 3.5, 4.5])  # the 6th of 10, the 5th of 9


def test_frames_pipelines_and_searches() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "rooms": Y // 10})
    model = RareIntervals(make_pipeline(StandardScaler(), Ridge()), random_state=0).fit(frame, pd.Series(Y))
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301  our own bytes
    assert (copy.predict_interval(frame) == model.predict_interval(frame)).all()
    search = GridSearchCV(RareIntervals(Ridge(), random_state=0), {"estimator__alpha": [1.0, 1e6]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"estimator__alpha": 1.0}


@pytest.mark.parametrize(
    ("arguments", "labels", "message"),
    [
        ({"coverage": 1.0}, Y, "coverage: expected a number below 1"),
        ({"coverage": 0.0}, Y, "coverage: expected a number above 0"),
        ({"cv": "jackknife"}, Y, "cv: expected one of 'split', 'prefit'"),
        ({"coverage": 0.999}, Y, "y: expected at least 3996 rows for this coverage, got n_samples = 500"),
        ({}, np.stack((Y, Y), axis=1), r"y: expected one target, got shape \(500, 2\)"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RareIntervals(Ridge(), **arguments).fit(X, labels)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_checks_of_scikit_learn() -> None:
    assert failed_checks(RareIntervals(LinearRegression(), 0.5, cv=3)) == {}
