"""The parts around LightGBM, and on tables of polars."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from conr.rare import RareIntervals, Rebalanced, Reweighted, train_test_split_binned

RANDOM = np.random.default_rng(0)
Y = RANDOM.gamma(1.0, 10.0, 400)
HOUSES = pd.DataFrame({"size": Y + RANDOM.normal(size=400) * 4, "place": np.where(Y > 9, "town", "village")})
PARTS: dict[str, Any] = {
    "reweighted": Reweighted,
    "rebalanced": lambda inner: Rebalanced(inner, map="linear", cv=2, random_state=0),
    "intervals": lambda inner: RareIntervals(inner, random_state=0),
}


def boosting() -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    encoder = make_column_transformer((OrdinalEncoder(), ["place"]), remainder="passthrough")
    encoder.set_output(transform="pandas")
    return make_pipeline(encoder, lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1, random_state=0))


@pytest.mark.parametrize("part", PARTS)
def test_boosting_in_a_pipeline(part: str) -> None:
    model = PARTS[part](boosting()).fit(HOUSES, Y)
    assert np.abs(model.predict(HOUSES) - Y).mean() < 0.6 * np.abs(Y - Y.mean()).mean()
    assert model.feature_names_in_.tolist() == ["size", "place"]


def test_weights_reach_boosting_in_a_pipeline() -> None:
    plain, weighted = boosting().fit(HOUSES, Y), Reweighted(boosting(), "inverse").fit(HOUSES, Y)
    rare = Y > 30
    errors = [np.abs(one.predict(HOUSES) - Y)[rare].mean() for one in (plain, weighted)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("part", PARTS)
def test_tables_of_polars(part: str) -> None:
    polars = pytest.importorskip("polars")
    encoder = make_column_transformer((OrdinalEncoder(), ["place"]), remainder="passthrough")
    pipeline = make_pipeline(encoder, boosting()[-1])
    table, labels = polars.from_pandas(HOUSES), polars.Series("y", Y)
    found = PARTS[part](pipeline).fit(table, labels).predict(table)
    np.testing.assert_allclose(found, PARTS[part](pipeline).fit(HOUSES, Y).predict(HOUSES))
    train, test, own_train, own_test = train_test_split_binned(table, labels, random_state=0)
    assert (len(train), len(test)) == (len(own_train), len(own_test))
    assert isinstance(train, polars.DataFrame)
