import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.preprocessing import QuantileTransformer

from conr.tables.columns import Columns, number_columns
from conr.tables.encoding import Encoding


def mixed(numbers: list[float], texts: list[str | None]) -> Columns:
    values = {"a": np.array(numbers), "b": np.array(texts, dtype=object)}
    return Columns(values, np.arange(2, 2 + len(numbers)))


def matrix(values: list[list[float]]) -> Columns:
    array: NDArray[np.float64] = np.array(values)
    return number_columns(array, ["a", "b"][: array.shape[1]])


def test_quantiles_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    train = np.stack([random.exponential(size=300), random.integers(0, 4, 300)], axis=1)
    other = np.stack([random.exponential(size=50) - 0.5, random.integers(-1, 6, 50)], axis=1)
    encoding = Encoding(scaling="quantile").fit(number_columns(train, ["a", "b"]))
    expected = QuantileTransformer(n_quantiles=300, output_distribution="normal").fit(train)
    found = encoding.transform(number_columns(other, ["a", "b"]))
    # Where the least or greatest value comes often, scikit-learn sends it to the end, and this to its middle.
    inner = (other[:, 1] > 0) & (other[:, 1] < 3)
    # Its quantiles are steps, and these are interpolated.
    np.testing.assert_allclose(found[:, 0], expected.transform(other)[:, 0], atol=0.02)
    np.testing.assert_allclose(found[inner], expected.transform(other)[inner], atol=0.02)
    assert -1.5 < encoding.transform(matrix([[0, 0]]))[0, 1] < -0.9


@pytest.mark.parametrize(("imputation", "filled"), [("median", 3), ("mean", 4), ("most_frequent", 1)])
def test_missing_numbers_are_filled_and_a_column_says_so(imputation: str, filled: float) -> None:
    nan = np.nan
    columns = matrix([[1, nan], [nan, nan], [3, nan], [8, nan]])
    encoding = Encoding(scaling="none", imputation=imputation).fit(columns)
    assert encoding.transform(columns).tolist() == [[1, 0, 0], [filled, 0, 1], [3, 0, 0], [8, 0, 0]]


def test_standard_scaling_leaves_constants_and_far_values_finite() -> None:
    columns = matrix([[1, 5], [3, 5]])
    encoding = Encoding(scaling="standard").fit(columns)
    assert encoding.transform(columns).tolist() == [[-1, 0], [1, 0]]
    assert np.isfinite(encoding.transform(matrix([[1e308, -1e308]]))).all()


def test_categories_are_columns_or_places() -> None:
    train, new = mixed([1, 2, 3], ["y", None, "x"]), mixed([2, 2, 2], [None, "x", "z"])
    onehot = Encoding(scaling="none").fit(train)
    assert onehot.known == {"b": ["(missing)", "x", "y"]}
    assert onehot.transform(new).tolist() == [[2, 1, 0, 0], [2, 0, 1, 0], [2, 0, 0, 0]]
    ordinal = Encoding(scaling="none", categories="ordinal").fit(train)
    assert ordinal.transform(new).tolist() == [[2, 0], [2, 1], [2, -1]]


def test_unknown_categories_are_told_and_change_nothing() -> None:
    encoding = Encoding().fit(mixed([1, 2], ["x", "y"]))
    before = json.dumps(encoding.state()), {name: array.copy() for name, array in encoding.arrays.items()}
    new = mixed([1, 1, 2, 2], ["z", None, "x", "w"])
    assert encoding.unknown(new) == [
        "column 'b': expected a category seen in training ('x', 'y'), got 'z' and 1 more (rows 2, 5)"
    ]
    assert encoding.unknown(mixed([1], ["x"])) == []
    encoding.transform(new)
    assert json.dumps(encoding.state()) == before[0]
    for name, array in encoding.arrays.items():
        np.testing.assert_array_equal(array, before[1][name])


def test_robust_scaling_is_nearly_linear_inside_and_bends_outliers() -> None:
    normal = np.random.default_rng(0).normal(5.0, 2.0, 10_000)
    columns = np.stack((np.append(normal, 1e9), np.append(np.zeros(10_000), 1.0)), axis=1)
    encoding = Encoding(scaling="robust").fit(number_columns(columns, ["a", "b"]))
    found = encoding.transform(matrix([[5, 0], [7, 1], [3, 0], [1e300, 1e300], [-1e300, 0]]))  # (5, 2)
    assert found[:, 0] == pytest.approx([0, 1 / np.hypot(1, 0.25), -1 / np.hypot(1, 0.25), 4, -4], abs=0.03)
    assert (np.abs(found) <= 4).all()
    assert found[1, 1] > 3.9  # the quartiles are one number: deviations of the mean square


def test_robust_scaling_keeps_a_second_group_of_values_apart() -> None:
    random = np.random.default_rng(0)
    columns = np.concatenate((random.uniform(0, 1e-3, 560), random.uniform(1000, 2000, 140)))[:, None]
    encoding = Encoding(scaling="robust").fit(number_columns(columns, ["a"]))
    found = encoding.transform(matrix([[0], [1000], [1100], [1500], [2000]]))[:, 0]
    assert (np.diff(found) > 0.01).all()


@pytest.mark.parametrize("share", [0.3, 0.49, 0.51])
def test_robust_scaling_does_not_count_missing_values(share: float) -> None:
    values = np.random.default_rng(0).normal(size=4000)
    values[: round(4000 * share)] = np.nan
    encoding = Encoding(scaling="robust").fit(number_columns(values[:, None], ["a"]))
    found = encoding.transform(matrix([[1.0]]))[0, 0]
    assert found == pytest.approx(1 / np.hypot(1, 0.25), abs=0.06)


@pytest.mark.parametrize("scaling", ["quantile", "standard", "robust", "none"])
@pytest.mark.parametrize("categories", ["onehot", "ordinal"])
def test_the_state_is_the_whole_encoding(scaling: str, categories: str) -> None:
    columns = mixed([1, np.nan, 2], ["x", None, "y"])
    encoding = Encoding(scaling=scaling, categories=categories).fit(columns)
    restored = Encoding.from_state(json.loads(json.dumps(encoding.state())), encoding.arrays)
    np.testing.assert_array_equal(restored.transform(columns), encoding.transform(columns))


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_numbers_of_any_size_are_scaled(size: float) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    for scaling in ("standard", "robust", "quantile"):
        expected, found = (
            Encoding(scaling=scaling).fit(columns).transform(columns)
            for columns in (number_columns(factor * rows, ["a", "b"]) for factor in (1, size))
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)
