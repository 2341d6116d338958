"""Settings and tables as other libraries make them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from conr.estimators import ConRRegressor

SMALL: dict[str, Any] = {"members": 2, "width": 16, "max_epochs": 2, "random_state": 0, "device": "cpu"}
ROWS: NDArray[np.float64] = np.random.default_rng(0).normal(size=(80, 3))
LABELS: NDArray[np.float64] = np.exp(ROWS[:, 0])


def test_numbers_of_numpy_are_numbers() -> None:
    """A grid of settings is often an array."""
    whole = {"members": 2, "width": 16, "depth": 1, "batch_size": 32, "max_epochs": 2, "patience": 1, "random_state": 0}
    real = {"learning_rate": 0.01, "weight_decay": 0.01, "dropout": 0.25, "validation_fraction": 0.25}
    real |= {"window": 1.0, "beta": 0.5, "temperature": 0.25, "distance_scale": 0.5, "bin_width": 0.5}
    expected = ConRRegressor(**SMALL | whole | real | {"many": 5, "few": 2}).fit(ROWS, LABELS).predict(ROWS)
    given: dict[str, Any] = {name: np.int64(value) for name, value in whole.items()}
    given |= {name: np.float64(value) for name, value in real.items()} | {"many": np.int32(5), "few": np.int8(2)}
    model = ConRRegressor(**SMALL | given).fit(ROWS, LABELS)
    np.testing.assert_array_equal(model.predict(ROWS), expected)
    narrow: dict[str, Any] = {"learning_rate": np.float32(0.01), "bin_width": np.float32(0.5), "bin_count": np.int64(4)}
    for name, value in narrow.items():
        assert np.isfinite(ConRRegressor(**SMALL | {name: value}).fit(ROWS, LABELS).predict(ROWS)).all()
    with pytest.raises(TypeError, match=r"width: expected a whole number, got 8\.5"):
        ConRRegressor(**SMALL | {"width": np.float64(8.5)}).fit(ROWS, LABELS)
    with pytest.raises(TypeError, match="members: expected a number, got bool"):
        ConRRegressor(**SMALL | {"members": np.bool_(1)}).fit(ROWS, LABELS)


@pytest.mark.parametrize("times", [pd.date_range("2020-01-01", periods=80), pd.to_timedelta(np.arange(80), "h")])
def test_times_are_no_labels(times: Any) -> None:
    for labels in (times, pd.Series(times), np.asarray(times)):
        with pytest.raises(TypeError, match="y: expected numbers as labels, got "):
            ConRRegressor(**SMALL).fit(ROWS, labels)


def test_a_bin_width_for_each_target() -> None:
    with pytest.raises(ValueError, match="width: expected 1 numbers, one per label dimension, got 2"):
        ConRRegressor(**SMALL | {"bin_width": [1, 2]}).fit(ROWS, LABELS)


def test_a_whole_number_beyond_all_floats_is_named() -> None:
    table = pd.DataFrame({"a": ROWS[:, 0], "b": pd.Series([10**400] * 80, dtype=object)})
    with pytest.raises(ValueError, match=r"column 'b': expected numbers, got 1000.*… in row 0"):
        ConRRegressor(**SMALL).fit(table, LABELS)
