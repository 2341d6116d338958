import pytest

from conr.tables.bad_rows import BadRows, check_splits_are_filled


def test_the_first_bad_row_stops_with_file_and_row() -> None:
    with pytest.raises(ValueError, match=r"ages\.csv, row 3: expected a number, got 'x' \(skip_bad leaves such rows"):
        BadRows("ages.csv", skip=False).add(3, "expected a number, got 'x'")


def test_skipped_rows_are_counted_once_each() -> None:
    rows = BadRows("ages.csv", skip=True)
    rows.add(7, "no file")
    rows.add(3, "no age")
    rows.add(3, "no split")
    with pytest.warns(UserWarning, match=r"ages\.csv: 2 of 10 rows left out; the first is row 3: no age"):
        assert rows.finish(10) == [3, 7]


def test_nothing_left_is_an_error() -> None:
    rows = BadRows("ages.csv", skip=True)
    rows.add(2, "no age")
    with pytest.raises(ValueError, match=r"expected usable rows, got none of 1; the first is row 2: no age"):
        rows.finish(1)


def test_good_rows_say_nothing() -> None:
    assert BadRows("ages.csv", skip=True).finish(5) == []


def test_empty_splits_are_named() -> None:
    check_splits_are_filled("ages.csv", {"train": 5, "val": 2, "test": 2})
    with pytest.raises(ValueError, match=r"ages\.csv: expected samples in train, val, test, got none in val, test \("):
        check_splits_are_filled("ages.csv", {"train": 5, "val": 0})
