"""Files of a model's test: rows are predicted once."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from conr.cli.table import table
from conr.estimators import ConRRegressor, EncodedRegressor, RareRegressor, fit_table, write_run
from conr.estimators.table_model import FittedTable

SMALL: dict[str, Any] = {"members": 2, "width": 16, "max_epochs": 1, "random_state": 0, "device": "cpu"}


def fitted(folder: Path, regressor: Any) -> FittedTable:
    random = np.random.default_rng(0)
    size = random.gamma(2.0, 10.0, 300)
    file = folder / "houses.csv"
    pd.DataFrame({"size": size, "price": (3 * size + random.normal(size=300)).round(3)}).to_csv(file, index=False)
    return fit_table(file, "price", regressor)


@pytest.mark.parametrize(
    "regressor",
    [ConRRegressor(**SMALL), RareRegressor({"line": EncodedRegressor(Ridge())}, cv=3, random_state=0)],
    ids=["network", "blend"],
)
def test_a_run_predicts_rows_once(regressor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitted(tmp_path, regressor)
    expected = found.model.evaluate(found.test)
    calls = counted(type(regressor), monkeypatch)
    result = write_run(tmp_path, found.model, found.test, name="houses")
    assert calls == [len(found.test.inputs)]
    assert result.metrics["all"]["mae"] == pytest.approx(expected["all"]["mae"], rel=1e-12)


def test_predictions_with_bounds_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fitted(tmp_path, RareRegressor({"line": EncodedRegressor(Ridge())}, cv=3, random_state=0))
    model = found.model.save(tmp_path / "model")
    rows = found.model.rows(tmp_path / "houses.csv", labels=False)
    expected = found.model.predict_interval(rows, coverage=0.8)
    calls = counted(RareRegressor, monkeypatch)
    out = tmp_path / "out.csv"
    table(["predict", str(model), str(tmp_path / "houses.csv"), "--interval", "0.8", "--out", str(out)])
    assert calls == [300]
    np.testing.assert_allclose(pd.read_csv(out)[["low", "high"]].to_numpy(), expected)


def counted(kind: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    original = kind.predict

    def predict(self: Any, rows: Any) -> Any:
        calls.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(kind, "predict", predict)
    return calls
