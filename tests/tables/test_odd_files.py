"""Files as other programs, other systems and accidents leave them."""

import io
import json
import unicodedata
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.tables.test_files import as_lists, read, write

from conr.tables.bad_rows import BadRows
from conr.tables.columns import sort_columns
from conr.tables.source import TableFile
from conr.tables.typed import column_name

ROWS = "".join(f"{row % 7},{row / 2},{row * 3 % 11}\n" for row in range(60))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (json.dumps([{"a": 1}], indent=1), "JSON"),
        ('{ "a": [1, 2] }', "JSON"),
        ("<!-- a page --><html></html>", "HTML"),
        (r"{\rtf1\ansi a,b}", "a document"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "an array of NumPy"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"<stata_dta><header>", "a Stata file"),
        (b"SQLite format 3\x00", "a database"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n", "Git LFS's reference to one"),
    ],
)
def test_other_kinds_of_files_are_named(content: str | bytes, kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"expected a CSV or Parquet file, got {kind}"):
        read(write(tmp_path, content))


@pytest.mark.parametrize("encoding", ["rot13", "base64", "zlib", "undefined", "klingon", "utf-8\0", ""])
def test_an_encoding_is_one_of_texts(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoding: expected the name of an encoding, got"):
        read(write(tmp_path, "größe,b\n1,2\n"), encoding=encoding)


def test_encodings_of_two_bytes_may_be_named(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32", "utf-16-be"):
        assert as_lists(read(write(tmp_path, "ä,b\n1,2\n".encode(encoding)), encoding=encoding)) == {
            "ä": ["1"],
            "b": ["2"],
        }


def test_a_text_may_end_as_that_of_dos(tmp_path: Path) -> None:
    assert as_lists(read(write(tmp_path, "a,b\r\n1,2\r\n\x1a"))) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("header", ['"size" "place"', '"" "size" "place"'])
def test_quotes_between_spaces_as_r_writes_them(header: str, tmp_path: Path) -> None:
    table = read(write(tmp_path, f'{header}\n"1" 1.5 "New York"\n"2" 2 "the ""Hague"""\n"3" NA "Rome"\n'))
    assert table.names == ["column-1", "size", "place"]
    assert table.column("place").tolist() == ["New York", 'the "Hague"', "Rome"]
    assert table.column("size").tolist() == ["1.5", "2", None]


def test_commas_inside_of_texts_are_no_names_of_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "size,place,price\n" + "".join(f"{row % 5},Rome\\, old,{row}\n" for row in range(60)))
    with pytest.raises(ValueError, match="row 1: expected a name for each of 4 columns, got 3; a separator inside"):
        read(path)


def test_names_have_one_form_on_all_systems(tmp_path: Path) -> None:
    path = write(tmp_path, unicodedata.normalize("NFD", "größe,\u200bx,p\x1b[2Jreis\n1,né,3\n"))
    table = read(path)
    assert table.names == ["größe", "x", "p[2Jreis"]  # nothing that a terminal obeys
    assert table.column("x").tolist() == ["né"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('3,"12.0,4.5\n', r"row 32: expected a field to end with the quotation mark \" that it begins with"),
        ('3,12.0,"4.5\n', r"row 32: expected a field to end with the quotation mark"),
    ],
)
def test_a_quotation_mark_that_never_ends_does_not_swallow_rows(line: str, message: str, tmp_path: Path) -> None:
    rows = ROWS.splitlines(keepends=True)
    path = write(tmp_path, "".join(["k,x,price\n", *rows[:30], line, *rows[30:]]))
    for skip in (False, True):
        with pytest.raises(ValueError, match=message):
            read(path, skip=skip)


def test_a_quotation_mark_that_never_ends_is_pointed_to_where_it_hides_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, 'k,x,price\n1,2,3\n1,"2,3\n' + ROWS)
    with pytest.raises(ValueError, match="a quotation mark in line 3 may never end"):
        read(path)
    path = write(tmp_path, "k,x,price\n" + 40 * ROWS + '1,"2,3\n' + 2000 * ROWS)
    with pytest.raises(ValueError, match=r"row 2402: .* larger than field limit .* \(does a quotation mark never end"):
        read(path)


def test_texts_over_several_lines_may_be_the_last(tmp_path: Path) -> None:
    content = 'k,text\n1,"a\nb"\n2,5" pipe\n3,"c\nd"\n'
    assert read(write(tmp_path, content)).column("text").tolist() == ["a\nb", '5" pipe', "c\nd"]


def test_a_long_cell_is_cut_in_messages(tmp_path: Path) -> None:
    path = write(tmp_path, f"k,x,price\n{ROWS}1,2,{500 * 'x'}\n")
    with pytest.raises(ValueError, match=r"expected a finite number as label, got 'x{60,78}…"):
        TableFile(path, ["price"]).content()


def test_a_file_of_one_column_that_looks_like_several_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f'"{line}"\n' for line in ("k,x,price\n" + ROWS).splitlines()))
    with pytest.raises(ValueError, match="it has one column: set separator, or take away the quotation marks"):
        column_name(path, read(path).names, "target", "price")


@pytest.mark.parametrize("separator", ["\\t", "TAB", "tab", "\t"])
def test_a_tab_may_be_named_as_it_is_typed(separator: str, tmp_path: Path) -> None:
    assert as_lists(read(write(tmp_path, "a\tb\n1\t2\n"), separator=separator)) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("cell", ["\\N", "(null)", "NaT", "-nan", "#N/A N/A", "-1.#IND", "1.#QNAN"])
def test_more_marks_of_what_is_missing(cell: str, tmp_path: Path) -> None:
    table = read(write(tmp_path, f"a,b\n{cell},2\n3,4\n"))
    assert table.column("a").tolist() == [None, "3"]


@pytest.mark.parametrize("name", ["rownames", "row_id", "RowNumber", "__index_level_0__", "Unnamed: 0"])
def test_counters_of_rows_are_left_out(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"{name},x\n" + "".join(f"{row * 2},{row % 7}\n" for row in range(60)))
    found = sort_columns(read(path), [name, "x"], BadRows(path, skip=False))
    assert list(found.left_out) == [name]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="Parquet needs pyarrow, an extra of its own")
def test_parquet_takes_durations_missing_numbers_and_no_names(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    content = io.BytesIO()
    durations = [timedelta(hours=1), None, timedelta(milliseconds=250)]
    columns = {"": pa.array(durations), "n": pa.array([2**60, None, 3]), "b": pa.array([True, None, False])}
    parquet.write_table(pa.table(columns), content)
    table = read(write(tmp_path, content.getvalue()))
    assert table.names == ["column-1", "n", "b"]
    assert table.unnamed == {"column-1"}
    expected = ([3600.0, np.nan, 0.25], [2.0**60, np.nan, 3.0], [1.0, np.nan, 0.0])
    for column, right in zip(table.columns, expected, strict=True):
        np.testing.assert_array_equal(column, right)
