"""A column has one kind, found once on the whole table, whoever asks."""

import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conr.tables.bad_rows import BadRows
from conr.tables.columns import Columns, sort_columns
from conr.tables.files import FileFormat, read_table
from conr.tables.frames import frame_columns, has_texts
from conr.tables.source import TableFile, read_rows


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
    with pytest.raises(TypeError, match="column 'z': argument must be a string or a real number, got a complex number"):
        frame_columns(pd.DataFrame({"z": [1 + 2j]}), ["z"])


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
        "column-1": "a row counter without a name",
        "code": "every row has a different text",
        "customer_id": "an identifier by its name, and every row has a different number",
    }


def test_the_decimal_mark_of_a_later_file_may_be_another(tmp_path: Path) -> None:
    columns, _ = columns_of(tmp_path / "a.csv", ["x,k", *(f"{row}.5,a" for row in range(9))])
    (tmp_path / "b.csv").write_text("x;k\n4,5;a\n")
    with pytest.raises(ValueError, match="column 'x': expected a number, got '4,5'"):
        read_rows(tmp_path / "b.csv", columns.kinds)
    found = read_rows(tmp_path / "b.csv", columns.kinds, written=FileFormat(decimal=","))
    assert found.inputs.values["x"].tolist() == [4.5]
    assert found.inputs.kinds == columns.kinds


def test_columns_without_name_and_value_are_left_out(tmp_path: Path) -> None:
    columns, left_out = columns_of(tmp_path / "a.csv", ["x,,Unnamed: 2,", *(f"{row},,," for row in range(9))])
    assert list(columns.values) == ["x"]
    assert left_out == dict.fromkeys(("column-2", "Unnamed: 2"), "no name and no value")


def test_all_columns_that_are_left_out_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["code,row_id,y", *(f"c{row},{row},{row % 9}" for row in range(30))]))
    message = (
        "expected usable columns, got none of 2: 'code' (every row has a different text), 'row_id' (an identifier by "
        "its name, and every row has a different number)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        TableFile(path, ["y"]).content()


def test_distinct_dates_are_inputs_and_new_ones_are_read_so(tmp_path: Path) -> None:
    days = [date(2020, 1, 1) + timedelta(days=17 * row) for row in range(40)]
    forms = {
        "iso": "%Y-%m-%d",
        "named": "%d-%b-%Y",
        "long": '"%B %d, %Y"',
        "us": "%m/%d/%y %I:%M %p",
        "digits": "%Y%m%d",
    }
    lines = [",".join(f"{day:{form}}" for form in forms.values()) for day in days]
    columns, left_out = columns_of(tmp_path / "a.csv", [",".join(forms), *lines])
    assert left_out == {}
    assert set(kinds_of(columns).values()) == {"date"}
    for values in columns.values.values():
        assert values.astype("datetime64[D]").tolist() == days
    (tmp_path / "b.csv").write_text("\n".join([",".join(forms), lines[3]]))
    for values in read_rows(tmp_path / "b.csv", columns.kinds).inputs.values.values():
        assert values.astype("datetime64[D]").tolist() == [days[3]]
    target = [f"{line.rpartition(',')[2]},{row % 7}" for row, line in enumerate(lines)]
    (tmp_path / "c.csv").write_text("\n".join(["digits,y", *target]))
    (note,) = TableFile(tmp_path / "c.csv", ["y"]).content().notes
    assert "dates, year-month-day, from 2020-01-01 to 2021-10-25 become year, month" in note
    assert note.endswith("; set dates: none to keep numbers such as 20200101")
    kept = TableFile(tmp_path / "c.csv", ["y"], written=FileFormat(dates="none")).content()
    assert kinds_of(kept.inputs) == {"digits": "number"}
    assert TableFile(tmp_path / "c.csv", ["digits"]).content().labels[0] == 20200101  # a label stays a number


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["1,234", "0,5"], None),
        (["1,234", "12,345", "0.5"], "'12,345' is read as 12345"),
        (["1,234", "1,234,567"], "'1,234,567' is read as 1234567"),
        (["$5", "$(1,200.5)"], "'$(1,200.5)' is read as -1200.5"),
        (["01234", "10115"], "'01234' is read as 1234 (name the column in categorical to keep such codes)"),
    ],
)
def test_one_line_says_what_was_understood(cells: list[str], sentence: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,y", *(f'"{cells[row % len(cells)]}",{row}' for row in range(40))]))
    notes = TableFile(path, ["y"]).content().notes
    assert notes == ([] if sentence is None else [f"{path}, column 'a': {sentence}"])


def test_a_lone_thousand_or_fraction_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f'"{1 + row},234",{row}' for row in range(40)]
    path.write_text("\n".join(["a,y", *rows]))
    with pytest.raises(
        ValueError, match=r"column 'a': .* got '1,234', .* \(set decimal: '.' for 1234 or ',' for 1.234"
    ):
        TableFile(path, ["y"]).content()
    with pytest.raises(ValueError, match=r"column 'a': expected a clear decimal mark"):
        TableFile(path, ["a"]).content()
    for decimal, number in ((".", 1234), (",", 1.234)):
        content = TableFile(path, ["y"], written=FileFormat(decimal=decimal)).content()
        assert content.inputs.values["a"][0] == number
    path.write_text("\n".join(["a,y", *(f"{row}.5" for row in rows)]))
    content = TableFile(path, ["y"]).content()  # as the other column has it, which is said
    assert content.inputs.values["a"][0] == 1234
    assert content.notes == [f"{path}, column 'a': '10,234' is read as 10234 (set its mark with decimal: '.' or ',')"]
