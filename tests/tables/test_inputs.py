import numpy as np
import pytest
from sklearn.preprocessing import QuantileTransformer

from conr.tables.columns import InputColumns
from conr.tables.inputs import InputEncoding, frame_columns, has_texts, number_columns


def test_quantiles_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    train = np.stack([random.exponential(size=300), random.integers(0, 4, 300)], axis=1)
    other = np.stack([random.exponential(size=50) - 0.5, random.integers(-1, 6, 50)], axis=1)
    encoding = InputEncoding(scaling="quantile").fit(number_columns(train, ["a", "b"]))
    expected = QuantileTransformer(n_quantiles=300, output_distribution="normal").fit(train)
    found = encoding.transform(number_columns(other, ["a", "b"]))
    # Where the least or greatest value comes often, scikit-learn sends it to the end, and this to its middle.
    inner = (other[:, 1] > 0) & (other[:, 1] < 3)
    # Its quantiles are steps, and these are interpolated.
    np.testing.assert_allclose(found[:, 0], expected.transform(other)[:, 0], atol=0.02)
    np.testing.assert_allclose(found[inner], expected.transform(other)[inner], atol=0.02)
    assert -1.5 < encoding.transform(number_columns(np.zeros((1, 2)), ["a", "b"]))[0, 1] < -0.9


def test_missing_numbers_are_the_median_and_a_column() -> None:
    columns = number_columns(np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan], [8.0, np.nan]]), ["a", "b"])
    encoding = InputEncoding(scaling="none").fit(columns)
    assert encoding.transform(columns).tolist() == [[1, 0, 0], [3, 0, 1], [3, 0, 0], [8, 0, 0]]


def test_standard_scaling_leaves_constants() -> None:
    columns = number_columns(np.array([[1.0, 5.0], [3.0, 5.0]]), ["a", "b"])
    assert InputEncoding(scaling="standard").fit(columns).transform(columns).tolist() == [[-1, 0], [1, 0]]


def test_the_state_is_the_whole_encoding() -> None:
    columns = InputColumns({"a": np.array([1.0, np.nan, 2.0])}, {"b": np.array(["x", None, "y"], dtype=object)}, {})
    encoding = InputEncoding().fit(columns)
    restored = InputEncoding.from_state(encoding.state(), encoding.arrays)
    np.testing.assert_array_equal(restored.transform(columns), encoding.transform(columns))


def test_far_values_stay_finite() -> None:
    columns = number_columns(np.array([[0.0], [1e-300]]), ["a"])
    encoding = InputEncoding(scaling="standard").fit(columns)
    assert np.isfinite(encoding.transform(number_columns(np.array([[1e300]]), ["a"]))).all()


def test_kinds_of_object_columns() -> None:
    table = np.array([[1, "a", True], [2.5, None, None], [None, "b", False]], dtype=object)
    assert has_texts(table, None)
    assert not has_texts(table[:, [0, 2]], None)
    found = frame_columns(table, ["x0", "x1", "x2"])
    assert list(found.numbers) == ["x0", "x2"]
    assert found.categories["x1"].tolist() == ["a", None, "b"]
    with pytest.raises(TypeError, match="column 'x0': argument must be a string or a real number, got dict"):
        frame_columns(np.array([[{}, "a"]], dtype=object), ["x0", "x1"])


def test_too_many_categories() -> None:
    table = np.array([[f"name-{row}"] for row in range(1001)], dtype=object)
    with pytest.raises(ValueError, match="column 'x0': expected numbers or at most 1000 categories, got 1001"):
        frame_columns(table, ["x0"])
