from pathlib import Path

import numpy as np
import pytest

from conr.data import Table
from conr.data.inspection import Inspection, inspect_table
from conr.density.default_bins import wider_width
from conr.tables.source import TableFile


def table(tmp_path: Path, labels: np.ndarray, **options: object) -> Table:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["x,y"] + [f"{row},{label}" for row, label in enumerate(labels)]))
    return Table(path=str(path), target="y", **options)  # type: ignore[arg-type]


def inspected(data: Table) -> Inspection:
    return inspect_table(data.file, many=data.many, few=data.few)


def test_even_labels_are_called_even(tmp_path: Path) -> None:
    found = inspected(table(tmp_path, np.repeat(np.arange(10), 60)))
    assert found.imbalance.half == pytest.approx(0.5)
    assert found.imbalance.ratio == 1
    assert found.imbalance.few_bins == found.imbalance.few_rows == 0
    assert found.imbalance.constant_errors["few"] is None
    assert found.untested == []
    assert (found.suggestion.bin_width, found.suggestion.scheme) == (1, "none")


def test_half_of_the_rows_by_hand(tmp_path: Path) -> None:
    """Training rows 92, 8 and 4 (most 2 each to validation and test): half of 104 are 52 of the 92 in one of 3 bins."""
    found = inspected(table(tmp_path, np.repeat([0, 1, 2], [96, 12, 8]), most=2, few=8, many=50))
    assert found.density.counts.tolist() == [92, 8, 4]
    assert found.imbalance.half == pytest.approx(52 / 92 / 3)
    assert found.imbalance.few_bins == pytest.approx(1 / 3)
    assert found.imbalance.few_rows == pytest.approx(4 / 104)
    assert found.imbalance.constant_errors == {"all": 1.0, "many": 0.0, "median": 1.0, "few": 2.0}
    assert found.untested == [0, 1, 2]


def test_wider_bins_are_suggested_until_most_can_be_tested(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).exponential(10, size=3000)
    found = inspected(table(tmp_path, labels, bin_width=1))
    assert len(found.untested) > 0.25 * len(found.test_counts)
    width = found.suggestion.bin_width
    assert width is not None
    assert width > 1
    again = inspected(table(tmp_path, labels, bin_width=width))
    assert again.suggestion.bin_width == width
    assert len(again.density.counts) >= 10


def test_bins_too_narrow_for_splits_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table.csv: labels: expected a bin of at least 3 samples"):
        inspected(table(tmp_path, np.arange(60), bin_width=1))


def test_two_occupied_bins_can_be_uneven(tmp_path: Path) -> None:
    """380 zeros and 20 ones: a bin of two cannot have more than twice the mean count, however uneven they are."""
    found = inspected(table(tmp_path, np.repeat([0, 1], [380, 20])))
    assert found.suggestion.scheme == "sqrt_inverse"
    assert found.outliers == []


RANDOM = np.random.default_rng(0)
ORDINARY = RANDOM.normal(200, 30, 297).round(2)


@pytest.mark.parametrize(
    ("far", "named", "rows"),
    [([1e9], [1e9], 1), ([-99999.0] * 3, [-99999.0], 3), ([-8e4, 5e4, 6e4], [-8e4, 5e4, 6e4], 3)],
    ids=["one", "code", "both sides"],
)
def test_labels_that_empty_nearly_all_bins_are_named(
    tmp_path: Path, far: list[float], named: list[float], rows: int
) -> None:
    (found,) = inspected(table(tmp_path, np.append(ORDINARY, far))).outliers
    assert (found.target, found.labels, found.rows) == ("y", named, rows)
    assert (found.low, found.high) == (ORDINARY.min(), ORDINARY.max())
    assert found.bin_width == 10


def test_an_outlier_of_one_of_two_targets_is_named(tmp_path: Path) -> None:
    """Labels on both sides of an edge fill two of the eleven bins that each of two targets has."""
    first, second = np.append(ORDINARY - 200, 1e8), np.append(ORDINARY, 210.0)
    path = tmp_path / "two.csv"
    path.write_text(
        "x,y,z\n" + "".join(f"{row},{one},{two}\n" for row, (one, two) in enumerate(zip(first, second, strict=True)))
    )
    (found,) = inspect_table(TableFile(path, ["y", "z"])).outliers
    assert (found.target, found.labels, found.rows) == ("y", [1e8], 1)


@pytest.mark.parametrize(
    "labels",
    [
        ORDINARY,
        np.append(ORDINARY, 400.0),  # bins still tell the others apart
        RANDOM.exponential(10, 400),
        RANDOM.lognormal(0, 1, 1000),
        np.repeat([0.0, 1000.0], 100),  # two groups
    ],
    ids=["normal", "one above", "exponential", "lognormal", "two groups"],
)
def test_rare_labels_are_no_outliers(tmp_path: Path, labels: np.ndarray) -> None:
    assert inspected(table(tmp_path, labels)).outliers == []


@pytest.mark.parametrize(
    ("width", "whole", "following"),
    [(1, False, 2), (2, False, 2.5), (2, True, 5), (5, True, 10), (0.1, False, 0.2), (0.3, True, 1), (7, False, 10)],
)
def test_wider_widths(width: float, whole: bool, following: float) -> None:
    assert wider_width(width, whole=whole) == following
