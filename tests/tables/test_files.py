import bz2
import gzip
import io
import lzma
import re
import zipfile
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from conr.tables.bad_rows import BadRows
from conr.tables.files import FileFormat, RawTable, read_table


def write(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, *, skip: bool = False, **dialect: object) -> RawTable:
    return read_table(path, BadRows(path, skip=skip), FileFormat(**dialect))  # type: ignore[arg-type]


def as_lists(table: RawTable) -> dict[str, list[object]]:
    return dict(zip(table.names, (column.tolist() for column in table.columns), strict=True))


EXPECTED = {"size": ["1.5", "-20", "3e-2"], "kind": ["a, b", None, "c"]}


@pytest.mark.parametrize(
    "content",
    [
        'size,kind\n1.5,"a, b"\n-20,\n3e-2,c\n',
        'size;kind\r\n1.5;"a, b"\r\n-20;NA\r\n3e-2;c\r\n',
        "size\tkind\n1.5\ta, b\n-20\tnan\n3e-2\tc",
        "size|kind\n\n1.5|a, b\n-20|?\n\n3e-2|c\n",
        'size, kind\n1.5, "a, b"\n-20, None\n3e-2, c\n',
        'size;kind;\n1.5;"a, b";\n-20;null;\n3e-2;c;\n',  # a separator ends each line
        'size;kind\n1.5;"a, b";\n-20;null;\n3e-2;c;\n',  # but that of the header
        'sep=;\nsize;kind\n1.5;"a, b"\n-20;null\n3e-2;c\n',  # as Excel writes it
        '# exported, 2024\nsize;kind\n1.5;"a, b"\n-20;null\n3e-2;c\n',
        'Export of today\nAll in EUR\n\nsize,kind\n1.5,"a, b"\n-20,NA\n3e-2,c\n',
        "'size','kind'\n'1.5','a, b'\n'-20','NA'\n'3e-2','c'\n",
        "size~kind\n1.5~a, b\n-20~0000-00-00\n3e-2~c\n",
        "size\x01kind\n1.5\x01a, b\n-20\x01NA\n3e-2\x01c\n",
        "'size';'kind'\n1.5;'a, b'\n-20;'NA'\n3e-2;'c'\n",
    ],
)
def test_separators_quotes_missing_marks_and_decimal_commas_are_detected(tmp_path: Path, content: str) -> None:
    table = read(write(tmp_path, content))
    assert as_lists(table) == EXPECTED
    lines = [number for number, line in enumerate(content.splitlines(), start=1) if line]
    assert table.row_numbers.tolist() == lines[-3:]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("# b, c\na,b\n1,2\n3,4\n", "a b"),
        ("# made, here\n\n# twice, so\na,b\n1,2\n3,4\n", "a b"),
        ("Report, made by\n\na,b\n1,2\n3,4\n", "a b"),
        ("Report,\na,b\n1,2\n3,4\n", "a b"),
        ("Rows: 2, columns: 2, made 2024\na,b\n1,2\n3,4\n", "a b"),
        ("2024-01-02,17\n\na,b\n1,2\n3,4\n", "a b"),
        ("#id,b\n1,2\n3,4\n", "#id b"),
        ("# of rooms,b\n1,2\n3,4\n", "# of rooms,b"),
        ('a,b\n# with, a comma\n1,2\n#\n #3,4\n# "open, quote\n3,4\n# end', "a b"),
        ("\ufeff# b, c\na,b\n1,2\n3,4\n", "a b"),
    ],
)
def test_lines_above_the_header_and_remarks_are_passed_over(tmp_path: Path, content: str, names: str) -> None:
    table = read(write(tmp_path, content))
    assert table.names == (names.split(",") if "," in names else names.split())
    assert [column.tolist() for column in table.columns] == [["1", "3"], ["2", "4"]]


def test_names_below_a_title_and_a_sum(tmp_path: Path) -> None:
    table = read(write(tmp_path, "Report,,\nSum,5,17\n,,\na,b,c\n" + "1,x,2\n" * 9))
    assert table.names == ["a", "b", "c"]
    assert [note.partition(": ")[2] for note in table.notes] == ["2 lines above the header skipped"]


def test_a_first_column_of_row_names_may_have_no_name(tmp_path: Path) -> None:
    table = read(write(tmp_path, '"size","kind"\n"1",5,"x"\n"2",7,"y"\n'))
    assert as_lists(table) == {"column-1": ["1", "2"], "size": ["5", "7"], "kind": ["x", "y"]}
    assert table.unnamed == {"column-1"}
    assert table.notes == ()
    assert read(write(tmp_path, "Report, made by\na,b,c\n1,2,3\n4,5,6\n")).names == ["a", "b", "c"]


def test_formulas_that_keep_a_text_are_that_text(tmp_path: Path) -> None:
    table = read(write(tmp_path, '="size",kind\n="1.5","=""007"""\n2,="x"\n'))
    assert as_lists(table) == {"size": ["1.5", "2"], "kind": ["007", "x"]}


def test_apostrophes_are_no_quotes_where_cells_only_hold_some(tmp_path: Path) -> None:
    table = read(write(tmp_path, "name,size\n'tis,5'11\nO'Hara,6\n'x',7\n"))
    assert as_lists(table) == {"name": ["'tis", "O'Hara", "'x'"], "size": ["5'11", "6", "7"]}
    table = read(write(tmp_path, "'a','b'\n'it''s\nfine','1'\n'x','3'\n" + "'y','4'\n" * 20))
    assert table.columns[0].tolist()[:2] == ["it's\nfine", "x"]
    assert table.columns[1].tolist()[:2] == ["1", "3"]


def test_a_cell_may_begin_with_a_hash(tmp_path: Path) -> None:
    colours = ["#ff0000", "#00ff00", "#0000ff"]
    table = read(write(tmp_path, "\n".join(["colour,x", *(f"{colour},{row}" for row, colour in enumerate(colours))])))
    assert as_lists(table) == {"colour": colours, "x": ["0", "1", "2"]}
    table = read(write(tmp_path, 'name,x\nred,1\n#ff0000,2\n"# quoted",3\n"two\n# lines",4\n'))
    assert as_lists(table)["name"] == ["red", "#ff0000", "# quoted", "two\n# lines"]
    assert table.notes == ()
    assert read(write(tmp_path, "colour,x\n#ff0000,1\n")).columns[0].tolist() == ["#ff0000"]


def test_remarks_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "# made here\n# twice\na,b\n1,2\n# later\n3,4\n")
    assert [note.removeprefix(f"{path}: ") for note in read(path).notes] == [
        "2 lines above the header skipped",
        "1 line that begins with # skipped, the first is line 5",
    ]


def test_white_space_separates_columns_of_varying_width(tmp_path: Path) -> None:
    table = read(write(tmp_path, " -2.3  0.568 \n 1.0\t-5\n\n 17 4.78e2\n"), header=False)
    assert as_lists(table) == {"column-1": ["-2.3", "1.0", "17"], "column-2": ["0.568", "-5", "4.78e2"]}
    assert table.row_numbers.tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-32", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]
)
def test_encodings_are_detected(tmp_path: Path, encoding: str) -> None:
    table = read(write(tmp_path, "größe,ort\n1,Zürich\n2,Malmö\n".encode(encoding)))
    assert as_lists(table) == {"größe": ["1", "2"], "ort": ["Zürich", "Malmö"]}
    assert [note.partition(": ")[2] for note in table.notes] == (
        ["not UTF-8, so read as Windows-1252 (encoding sets another)"] if encoding in {"latin-1", "cp1252"} else []
    )


def test_any_character_may_be_named_as_separator(tmp_path: Path) -> None:
    path = write(tmp_path, "a:b\n1:2\n3:4\n")
    assert read(path).names == ["a:b"]
    assert as_lists(read(path, separator=":")) == {"a": ["1", "3"], "b": ["2", "4"]}
    with pytest.raises(ValueError, match="separator: expected one of 'tab'"):
        read(path, separator="x")
    assert read(write(tmp_path, "about\n~5\n~6\n~7\n")).names == ["about"]


def test_a_named_encoding_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,Ж\n".encode("koi8-r"))
    assert as_lists(read(path, encoding="koi8-r"))["b"] == ["Ж"]
    with pytest.raises(ValueError, match=r"expected a text file, but byte 6 does not fit ascii \(set encoding"):
        read(path, encoding="ascii")
    with pytest.raises(ValueError, match="encoding: expected the name of an encoding, got 'utf-99'"):
        read(path, encoding="utf-99")


def test_a_quoted_text_may_hold_line_breaks_and_rows_count_as_lines(tmp_path: Path) -> None:
    table = read(write(tmp_path, 'a,b\n1,"two\nlines"\n2,x\n'))
    assert as_lists(table) == {"a": ["1", "2"], "b": ["two\nlines", "x"]}
    assert table.row_numbers.tolist() == [2, 4]


def test_rows_of_a_wrong_length_are_named_or_left_out(tmp_path: Path) -> None:
    content = "a,b,c\n" + "1,2,3\n" * 20 + "1,2\n" + "1,2,3,4\n"
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(f"{path}, row 22: expected 3 fields, got 2 (skip_bad")):
        read(path)
    bad = BadRows(path, skip=True)
    assert len(read_table(path, bad).row_numbers) == 20
    assert bad.problems == {22: "expected 3 fields, got 2", 23: "expected 3 fields, got 4"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a table, got an empty file"),
        (" \n\n", "expected a table, got an empty file"),
        ("a,b\n", "expected rows below the header, got none"),
        ("a,b;c\n1;2\n3,4;5\n6\n", "expected columns between tab, semicolon, bar, comma, space, found none of them"),
        ("a,b,a\n1,2,3\n", "expected each column's name once, got 'a' twice: rename one"),
        ("Report, made by\na,b\n1,2\n3,4\n", "got rows 1 (Report, made by) and 2 (a, b): delete one"),
        ("made,7\na,b\n1,2\n3,4\n", "got rows 1 (made, 7) and 2 (a, b): delete one"),
        ("2024,17\na,b\n1,2\n3,4\n", "got rows 1 (2024, 17) and 2 (a, b): delete one"),
        ("area,price\nm2,EUR\n1,2\n3,4\n", "expected one row of column names, got rows 1 (area, price) and 2"),
        ("Report\narea\n1\n2\n", "expected one row of column names, got rows 1 (Report) and 2 (area)"),
        ("1.5,2\n3,4\n", "expected column names, got numbers (1.5, 2); for a file without names"),
        (b"PK\x03\x04rest", "expected a complete archive, got a broken one"),
        (b"\x1f\x8b\x08rest", "expected a complete archive, got a broken one"),
        (b"\xd0\xcf\x11\xe0rest", "got a spreadsheet: export it as CSV first"),
        ('[{"a": 1, "b": 2},\n {"a": 3, "b": 4}]', "expected a CSV or Parquet file, got JSON: export it as CSV first"),
        ("<!DOCTYPE html>\n<table><tr><td>1, 2", "expected a CSV or Parquet file, got HTML: export it as CSV first"),
        (b"SQLite format 3\0", "got a database: export it as CSV first"),
        (b"BZhrest", "expected a complete archive, got a broken one"),
        (b"a,b\n1,\x00\n", "expected a text file, but it contains zero bytes"),
        ('a,b\n1,"' + "x" * 200_000, "row 2: expected a table row, got a broken one: field larger than"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_given_dialect_is_not_doubted(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b\n1,234;2\n")
    for separator in ("comma", ","):
        both = write(tmp_path, "a;b,c;d\n1;2,3;4\n", "both.csv")
        assert as_lists(read(both, separator=separator)) == {"a;b": ["1;2"], "c;d": ["3;4"]}
    with pytest.raises(ValueError, match=r"separator: expected one of 'tab', .*, got 'semicolons'; did you mean 'semi"):
        read(path, separator="semicolons")
    with pytest.raises(ValueError, match=r"decimal: expected one of '\.', ',', got ';'"):
        read(path, decimal=";")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"found none at {tmp_path / 'no.csv'}")):
        read(tmp_path / "no.csv")


def test_compressed_files_are_read(tmp_path: Path) -> None:
    content = b"a,b\n1,x\n2,y\n"
    expected = {"a": ["1", "2"], "b": ["x", "y"]}
    once = gzip.compress(content)
    for packed in (once, gzip.compress(once), bz2.compress(content), lzma.compress(content)):
        assert as_lists(read(write(tmp_path, packed, "a.csv.gz"))) == expected
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("folder/a.csv", content)
        file.writestr("__MACOSX/a.csv", b"")
        file.writestr("folder/.DS_Store", b"")
    assert as_lists(read(write(tmp_path, archive.getvalue(), "a.zip"))) == expected
    for names, message in ((["a.csv", "b.csv"], "one file in the archive, got 2"), (["[Content_Types].xml"], "spread")):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for name in names:
                file.writestr(name, content)
        with pytest.raises(ValueError, match=message):
            read(write(tmp_path, archive.getvalue(), "b.zip"))


def test_one_column_is_a_table(tmp_path: Path) -> None:
    assert as_lists(read(write(tmp_path, "area\n10\n20.5\n"))) == {"area": ["10", "20.5"]}
    assert as_lists(read(write(tmp_path, "two words\nonly\n"))) == {"two words": ["only"]}


def test_the_header_fits_the_separator(tmp_path: Path) -> None:
    table = read(write(tmp_path, "genres,price\nDrama|Comedy,1\nWar|Drama,2\nDrama|War,3\n"))
    assert as_lists(table)["genres"] == ["Drama|Comedy", "War|Drama", "Drama|War"]


def test_years_are_names_unless_the_rows_are_years_too(tmp_path: Path) -> None:
    assert read(write(tmp_path, "2019,2020\n1.5,2\n3,4\n")).names == ["2019", "2020"]
    with pytest.raises(ValueError, match="expected column names, got numbers"):
        read(write(tmp_path, "2019,2020\n2021,2022\n"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"to read Parquet, needs pyarrow, .*: pip install 'conr\[parquet\]'"):
        read(write(tmp_path, b"PAR1...", "table.parquet"))


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="Parquet needs pyarrow, an extra of its own")
def test_parquet_columns_keep_their_kinds(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    path = tmp_path / "any.name"
    columns = {"n": [1, None, 3], "x": [0.5, 2.5, None], "t": ["a", None, "NA"], "b": [True, False, None]}
    columns["d"] = [date(2024, 2, 29), None, date(2023, 1, 1)]
    parquet.write_table(pa.table(columns), path)
    table = read(path)
    assert table.names == ["n", "x", "t", "b", "d"]
    assert table.columns[4].astype(str).tolist() == ["2024-02-29T00:00:00", "NaT", "2023-01-01T00:00:00"]
    np.testing.assert_array_equal(table.columns[0], [1, np.nan, 3])
    np.testing.assert_array_equal(table.columns[1], [0.5, 2.5, np.nan])
    assert table.columns[2].tolist() == ["a", None, "NA"]
    np.testing.assert_array_equal(table.columns[3], [1, 0, np.nan])
    assert table.row_numbers.tolist() == [1, 2, 3]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="expected a complete Parquet file, got a broken one"):
        read(path)


@pytest.mark.parametrize(("cell", "likely"), [("1.234,5", ","), ("1,234.5", "."), ("0,5", ","), ("1.234", None)])
def test_the_decimal_mark_of_a_file_is_that_of_numbers_that_leave_no_doubt(
    tmp_path: Path, cell: str, likely: str | None
) -> None:
    assert read(write(tmp_path, f"a;b\n{cell};1.234\n7;8\n")).likely_decimal == likely
