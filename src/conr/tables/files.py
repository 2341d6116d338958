"""Reading tables: CSV in any of its dialects, which are detected, and Parquet."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice
from conr._extras import require
from conr._numbers import parse_number
from conr.tables.bad_rows import BadRows

# In this order: a comma may be a decimal mark, and a space stands in many a text.
SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "space"}
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?"})

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SAMPLE = 200  # rows that the dialect is detected from
_CONSISTENT = 0.9  # share of them that must have equally many fields
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")

Column = NDArray[Any]
"""Shape (n,): float64 with NaN for what is missing, or Python strings with None for it."""


class RawTable(NamedTuple):
    """Content of a file as it was read.

    Attributes:
        names: of the columns, each once.
        columns: one array per name, shape (n,) each; of a CSV file all are strings.
        row_numbers: of each row in the file as a person counts, shape (n,), int64.
    """

    names: list[str]
    columns: list[Column]
    row_numbers: NDArray[np.int64]

    def column(self, name: str) -> Column:
        """The values of a column."""
        return self.columns[self.names.index(name)]

    def repeated(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Mask of the rows that repeat an earlier one in some columns, shape (n,); by hashes of 64 bits."""
        hashes = np.zeros(len(self.row_numbers), dtype=np.uint64)
        for name in names:
            column = self.column(name)
            if column.dtype == object:
                own = np.fromiter(map(hash, column), dtype=np.int64, count=len(column)).view(np.uint64)
            else:
                own = (column.astype(np.float64) + 0.0).view(np.uint64)  # 0 and -0 are one number
            hashes = (hashes ^ own) * np.uint64(0x9E3779B97F4A7C15)
            hashes ^= hashes >> np.uint64(32)
        again = np.ones(len(hashes), dtype=bool)
        again[np.unique(hashes, return_index=True)[1]] = False
        return again


@dataclass(frozen=True)
class FileFormat:
    """Form of a CSV file.

    Args:
        header: whether the first row holds the names; if not, they are ``column-1``, ``column-2``, ...
        separator: a name or character of ``SEPARATORS``; detected if None.
        encoding: if None, what its byte order mark says, else UTF-8, else Windows-1252 (Latin-1's letters are part of
            it).
        decimal: decimal mark, "." or ","; detected if None.
    """

    header: bool = True
    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None


def read_table(path: Path, bad: BadRows, written: FileFormat | None = None) -> RawTable:
    """Read a CSV or Parquet file; its content shows which of them it is.

    Args:
        path: the file.
        bad: told of rows with too few or too many fields, which are left out.
        written: how a CSV file is written.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no table, or whose dialect is not clear; names that come twice; no rows.
        ImportError: a Parquet file, and pyarrow is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a CSV or Parquet file, found none at {path}")
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        return _read_parquet(path)
    if content.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise ValueError(
            f"{path}: expected a CSV or Parquet file, got a spreadsheet or archive: export it as CSV first"
        )
    written = written or FileFormat()
    text = _decoded(path, content, written.encoding)
    if not text.strip():
        raise ValueError(f"{path}: expected a table, got an empty file")
    mark = _detected_separator(path, text) if written.separator is None else _named_separator(written.separator)
    names, rows, numbers = _fields(path, text, mark, bad, header=written.header)
    decimal = written.decimal
    if decimal is None:
        decimal = "." if mark == "," else _detected_decimal(path, rows[:_SAMPLE])
    check_choice("decimal", decimal, (".", ","))
    columns = [_strings(values, decimal) for values in zip(*rows, strict=True)]
    return RawTable(names, columns, np.array(numbers, dtype=np.int64))


def parse_numbers(column: Column) -> tuple[NDArray[np.float64], list[int]]:
    """Numbers of a column, NaN for what is missing or is no number, and the positions of the latter."""
    if column.dtype != object:
        return column.astype(np.float64), []
    numbers = np.full(len(column), np.nan)
    wrong = []
    for position, value in enumerate(column):
        if value is None:
            continue
        try:
            numbers[position] = parse_number(value)
        except ValueError:
            wrong.append(position)
    return numbers, wrong


def _decoded(path: Path, content: bytes, encoding: str | None) -> str:
    if encoding is None:
        candidates = [name for mark, name in _MARKS.items() if content.startswith(mark)] or ["utf-8", "cp1252"]
    else:
        try:
            candidates = [codecs.lookup(encoding).name]
        except LookupError:
            raise ValueError(f"encoding: expected the name of an encoding, got {encoding!r}") from None
    problem = "it holds zero bytes"
    for candidate in candidates:
        try:
            text = content.decode(candidate)
        except UnicodeDecodeError as error:
            problem = f"byte {error.start} does not fit {candidate}"
        else:
            if "\0" in text:
                break
            return text
    raise ValueError(f"{path}: expected a text file, but {problem} (encoding names what it is written in)")


def _named_separator(name: str) -> str:
    for mark, known in SEPARATORS.items():
        if name in (mark, known):
            return mark
    check_choice("separator", name, SEPARATORS.values())
    raise AssertionError


def _detected_separator(path: Path, text: str) -> str:
    for mark in SEPARATORS:
        widths = Counter(len(fields) for _, fields in islice(_records(path, text, mark), _SAMPLE))
        width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
        if width > 1 and count >= _CONSISTENT * widths.total():
            return mark
    raise ValueError(
        f"{path}: expected columns between {', '.join(SEPARATORS.values())}, found none of them equally often in most "
        f"lines; the first line is {text.strip().partition(chr(10))[0][:80]!r} (separator names it)"
    )


def _records(path: Path, text: str, mark: str) -> Iterator[tuple[int, list[str]]]:
    """Number of its first line and fields of each row; empty lines are none."""
    lines = io.StringIO(text, newline="")
    if mark == " ":
        yield from ((number, line.split()) for number, line in enumerate(lines, start=1) if line.strip())
        return
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    number = 1
    try:
        for fields in reader:
            if fields and any(field.strip() for field in fields):
                yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, row {number}: expected a row of a table, got one that breaks: {error}") from error


def _fields(
    path: Path, text: str, mark: str, bad: BadRows, *, header: bool
) -> tuple[list[str], list[list[str]], list[int]]:
    records = list(_records(path, text, mark))
    if not records:
        raise ValueError(f"{path}: expected rows, got fields without any text")
    if header:
        _, names = records.pop(0)
        _check_header(path, names)
        width = len(names)
    else:
        width = Counter(len(fields) for _, fields in records).most_common(1)[0][0]
        names = [""] * width
    rows, numbers = [], []
    for number, fields in records:
        if len(fields) == width:
            rows.append(fields)
            numbers.append(number)
        else:
            bad.add(number, f"expected {width} fields, got {len(fields)}")
    if not rows:
        raise ValueError(f"{path}: expected rows below the header, got none")
    if not names[-1].strip() and not any(fields[-1].strip() for fields in rows):  # a separator ends each line
        names, rows = names[:-1], [fields[:-1] for fields in rows]
    names = [name.strip() or f"column-{position}" for position, name in enumerate(names, start=1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: expected each column's name once, got {twice[0]!r} twice")
    return names, rows, numbers


def _check_header(path: Path, names: Sequence[str]) -> None:
    if not parse_numbers(_strings(names, "."))[1]:
        raise ValueError(
            f"{path}, row 1: expected names of columns, got numbers ({', '.join(names)[:80]}); header: false says that "
            "the file has no names"
        )


def _strings(values: Sequence[str], decimal: str) -> Column:
    column = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        stripped = value.strip()
        if decimal == "," and _COMMA_NUMBER.fullmatch(stripped):
            stripped = stripped.replace(",", ".")
        column[position] = None if stripped.lower() in MISSING else stripped
    return column


def _detected_decimal(path: Path, rows: Sequence[Sequence[str]]) -> str:
    fields = [field.strip() for row in rows for field in row]
    with_comma = [field for field in fields if _COMMA_NUMBER.fullmatch(field)]
    if not with_comma:
        return "."
    if any(_POINT_NUMBER.fullmatch(field) for field in fields) or all(map(_THOUSANDS.fullmatch, with_comma)):
        raise ValueError(
            f"{path}: expected one kind of decimal mark, got {with_comma[0]!r}, whose comma may be one or group the "
            "thousands (decimal: ',' or '.' says what it is)"
        )
    return ","


def _read_parquet(path: Path) -> RawTable:
    require("conr.data.Table, to read Parquet,", "pyarrow")
    import pyarrow as pa  # noqa: PLC0415  optional
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: expected a complete Parquet file, got one that breaks: {error}") from error
    if table.num_rows == 0:
        raise ValueError(f"{path}: expected rows, got none")
    columns = [_arrow_column(column) for column in table.columns]
    return RawTable(table.column_names, columns, np.arange(1, table.num_rows + 1))


def _arrow_column(column: Any) -> Column:
    values = column.to_pylist()
    if all(value is None or isinstance(value, Number) for value in values):  # truth values count as 0 and 1
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    texts = np.empty(len(values), dtype=object)
    texts[:] = [None if value is None else str(value) for value in values]
    return texts
