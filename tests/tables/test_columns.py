"""A column has one kind, found once on the whole table, whoever asks."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conr.tables.bad_rows import BadRows
from conr.tables.columns import Columns, sort_columns
from conr.tables.files import read_table
from conr.tables.frames import frame_columns, has_texts
from conr.tables.source import read_rows


def columns_of(path: Path, lines: list[str], **options: Any) -> tuple[Columns, dict[str, str]]:
    path.write_text("\n".join(lines))
    bad = BadRows(path, skip=False)
    table = read_table(path, bad)
    found = sort_columns(table, table.names, bad, **options)
    return found.columns, {**found.unusable, **found.left_out}


def kinds_of(columns: Columns) -> dict[str, str]:
    return {name: kind.name for name, kind in columns.kinds.items()}


def test_numbers_and_categories_of_a_file_and_of_the_next(tmp_path: Path) -> None:
    lines = ["size,colour,code,empty", "1.5,,3,", ",,3.0,", "-2,red,,", "3,red,04.10,"]
    columns, unusable = columns_of(tmp_path / "a.csv", lines, categorical=["code"])
    assert kinds_of(columns) == {"size": "number", "colour": "category", "code": "category"}
    assert unusable == {"empty": "expected values, got none in any row"}
    np.testing.assert_array_equal(columns.values["size"], [1.5, np.nan, -2, 3])
    assert columns.values["code"].tolist() == ["3", "3", None, "04.10"]  # 3.0 is the category 3
    assert columns.rows.tolist() == [2, 3, 4, 5]
    assert columns.take(np.array([2])).values["colour"].tolist() == ["red"]
    (tmp_path / "b.csv").write_text("code,colour,more,size\n3.000,7,x,4\n")
    again = read_rows(tmp_path / "b.csv", columns.kinds).inputs
    assert {name: values.tolist() for name, values in again.values.items()} == {
        "size": [4.0],
        "colour": ["7"],
        "code": ["3"],
    }


def test_a_frame_says_the_same_as_the_file(tmp_path: Path) -> None:
    columns, _ = columns_of(
        tmp_path / "a.csv", ["size,colour,code", "1.5,,3", ",red,3.0", "2,blue,"], categorical=["code"]
    )
    frame = pd.read_csv(tmp_path / "a.csv")
    found = frame_columns(frame, list(frame.columns), categorical=["code"])
    assert kinds_of(found) == kinds_of(columns)
    for name, values in columns.values.items():
        np.testing.assert_array_equal(found.values[name], values)


@pytest.mark.parametrize(
    ("count", "rows", "limit"), [(100, 200, None), (150, 299, 100), (150, 300, None), (1001, 4004, 1000)]
)
def test_a_thousand_categories_but_no_identifiers(count: int, rows: int, limit: int | None, tmp_path: Path) -> None:
    names = [f"name-{row % count}" for row in range(rows)]
    message = f"expected numbers or at most {limit} categories, got {count} different texts such as 'name-0'"
    columns, unusable = columns_of(tmp_path / "a.csv", ["name,x", *(f"{name},1" for name in names)])
    assert unusable == ({} if limit is None else {"name": message})
    frame = pd.DataFrame({"name": names})
    if limit is None:
        assert kinds_of(frame_columns(frame, ["name"])) == {"name": "category"} == {"name": kinds_of(columns)["name"]}
    else:
        with pytest.raises(ValueError, match=f"column 'name': {message}"):
            frame_columns(frame, ["name"])


def test_kinds_of_object_columns() -> None:
    table = np.array([[1, "a", True, None], [2.5, None, None, None], [None, "b", False, None]], dtype=object)
    assert has_texts(table, None)
    assert not has_texts(table[:, [0, 2]], None)
    found = frame_columns(table, ["a", "b", "c", "d"])
    assert kinds_of(found) == {"a": "number", "b": "category", "c": "number", "d": "category"}
    assert found.values["b"].tolist() == ["a", None, "b"]
    with pytest.raises(TypeError, match="column 'x0': argument must be a string or a real number, got dict"):
        frame_columns(np.array([[{}, "a"]], dtype=object), ["x0", "x1"])


def test_decimals_and_dates_of_frames() -> None:
    days = pd.to_datetime(pd.Series(["2024-01-31 12:00", None])).dt.tz_localize("UTC")
    frame = pd.DataFrame({"price": [Decimal("1.5"), None], "day": days, "own": [date(2024, 1, 31), None]})
    found = frame_columns(frame, list(frame.columns))
    assert kinds_of(found) == {"price": "number", "day": "date", "own": "date"}
    np.testing.assert_array_equal(found.values["price"], [1.5, np.nan])
    assert found.values["day"].astype(str).tolist() == ["2024-01-31T12:00:00", "NaT"]
    assert found.values["own"].astype(str).tolist() == ["2024-01-31T00:00:00", "NaT"]
    later = frame_columns(pd.DataFrame({"own": ["2024-02-01"]}), ["own"], kinds={"own": found.kinds["own"]})
    assert later.values["own"].astype(str).tolist() == ["2024-02-01T00:00:00"]


def test_identifiers_and_counters_are_left_out(tmp_path: Path) -> None:
    lines = [f"{row},c{row},{900 - 7 * row},{row},{row % 3}" for row in range(40)]
    columns, left_out = columns_of(tmp_path / "a.csv", [",code,customer_id,size,x", *lines])
    assert list(columns.values) == ["size", "x"]
    assert left_out == {
        "column-1": "a counter of the rows without a name",
        "code": "every row has another text",
        "customer_id": "an identifier by its name, and every row has another number",
    }
