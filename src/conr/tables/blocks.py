"""Rows of a CSV file below its header, read in blocks, so that a million of them take little time and memory."""

import csv
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from conr.tables.bad_rows import BadRows
from conr.tables.dialect import MISSING, Dialect, broken, records, spaced_fields, unformatted

_ROWS = 500  # of a block: fewer lists than the garbage collector waits for
_MOST_SHARED = 100_000  # texts of a column that rows share
_MISSING = frozenset(case for word in MISSING for case in (word, word.upper(), word.title())) | {"NaN"}
_BREAKS = re.compile(r"\r\n|\r|\n")
_ZERO = re.compile(r"\n0\d")  # of a code such as 007

Block = tuple[list[list[str]], NDArray[np.int64]]
"""Rows of equally many fields, and the number of each in the file."""

_NO_ROWS: Block = [], np.empty(0, dtype=np.int64)


def read_columns(
    path: Path, opened: Callable[[], TextIO], dialect: Dialect, bad: BadRows, *, texts: Collection[int], remarks: bool
) -> tuple[list[NDArray[Any]], NDArray[np.int64], tuple[str, ...]]:
    """The columns below the header, the number of each row in the file, and a note on lines passed over.

    Args:
        path: the file, as messages name it.
        opened: opens it, with ends of lines as they are.
        dialect: from its first lines.
        bad: told of rows with another number of fields, which are left out.
        texts: positions of columns that stay as they are written.
        remarks: whether some line begins with #.

    Returns:
        Columns of float64 where all values are plain numbers and ``texts`` does not name them, others of Python
        strings, None for what is missing.

    Raises:
        ValueError: a row that breaks, or from ``bad``.
    """
    width = len(dialect.names)
    as_text, late = set(texts), set[int]()
    parts: list[list[NDArray[Any]]] = [[] for _ in range(width)]
    known = [_Known() for _ in range(width)]
    numbers: list[NDArray[np.int64]] = []
    passed: list[int] = []
    for rows, lines in _blocks(path, opened, dialect, bad, passed if remarks else None):
        numbers.append(lines)
        for position, cells in enumerate(zip(*rows, strict=True)):
            values = None if position in as_text else _plain_numbers(cells)
            if values is None:
                if position not in as_text and parts[position]:
                    late.add(position)
                as_text.add(position)
                values = known[position].texts(cells)
            parts[position].append(values)
    if late:  # a text far below
        for position in late:
            parts[position].clear()
        for rows, _ in _blocks(path, opened, dialect, BadRows(path, skip=True), [] if remarks else None):
            for position in late:
                parts[position].append(known[position].texts([row[position] for row in rows]))
    columns = [np.concatenate(blocks) if blocks else np.empty(0, dtype=object) for blocks in parts]
    some = f"{len(passed)} line{'s' if len(passed) > 1 else ''} that begin{'' if len(passed) > 1 else 's'} with #"
    notes = (f"{path}: {some} skipped, the first is line {passed[0]}",) if passed else ()
    return columns, np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64), notes


def _blocks(
    path: Path, opened: Callable[[], TextIO], dialect: Dialect, bad: BadRows, passed: list[int] | None
) -> Iterator[Block]:
    """Blocks of rows; ``passed`` gets the lines that are remarks, and is None if there are none."""
    file = opened()
    for _ in range(dialect.last_above):
        file.readline()
    rows_of = _numbered(path, file, dialect) if passed is None else _with_remarks(path, file, dialect, passed)
    for (rows, lines), following in pairwise(chain(rows_of, (_NO_ROWS,))):
        if following is _NO_ROWS and rows and _lines(rows[-1]) > 1:
            _check_end(path, opened(), dialect, int(lines[-1]))
        fitting = _fitting(rows, lines, dialect, bad)
        if fitting[0]:
            yield fitting


def _check_end(path: Path, file: TextIO, dialect: Dialect, row: int) -> None:
    """Require that a row over several lines does not end with the file because its quotation marks do not.

    Raises:
        ValueError: they do not: all rows below would be lost in one field.
    """
    below = islice(file, row - 1, None)
    try:
        next(csv.reader(below, delimiter=dialect.mark, quotechar=dialect.quote, skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise ValueError(
                f"{path}, row {row}: expected a field to end with the quotation mark {dialect.quote} that it begins "
                "with, found none until the end of the file"
            ) from error


def _fitting(rows: list[list[str]], lines: NDArray[np.int64], dialect: Dialect, bad: BadRows) -> Block:
    """The rows with the right number of fields; ``bad`` is told of others that hold something."""
    width = len(dialect.names)
    blank = [""] * width
    trimmed = [dialect.trimmed(row) for row in rows] if dialect.ended else rows
    if blank not in trimmed and set(map(len, trimmed)) == {width}:
        return trimmed, lines
    kept = []
    for position, row in enumerate(trimmed):
        empty = not any(map(str.strip, row))
        if len(row) == width and not empty:
            kept.append(position)
        elif not empty:
            bad.add(int(lines[position]), f"expected {width} fields, got {len(row)}")
    return [trimmed[position] for position in kept], lines[kept]


def _numbered(path: Path, file: TextIO, dialect: Dialect) -> Iterator[Block]:
    """Blocks of all rows, with their numbers."""
    if dialect.mark == " ":
        reader: Iterator[list[str]] = map(spaced_fields, file)
    else:
        reader = csv.reader(file, delimiter=dialect.mark, quotechar=dialect.quote, skipinitialspace=True)
    number = dialect.last_above + 1
    while True:
        rows: list[list[str]] = []
        try:
            rows.extend(islice(reader, _ROWS))
        except csv.Error as error:
            above = sum(_lines(row) for row in rows)
            raise broken(path, number + above, error) from error
        if not rows:
            return
        lines = number + np.arange(len(rows))
        number += len(rows)
        read = getattr(reader, "line_num", number - 1 - dialect.last_above)
        if read != number - 1 - dialect.last_above:  # a field over several lines
            further = np.cumsum([_lines(row) - 1 for row in rows])
            lines[1:] += further[:-1]
            number += int(further[-1])
        yield rows, lines


def _lines(row: Sequence[str]) -> int:
    return 1 + sum(len(_BREAKS.findall(field)) for field in row)


def _with_remarks(path: Path, file: TextIO, dialect: Dialect, passed: list[int]) -> Iterator[Block]:
    found = records(path, file, dialect.mark, dialect.last_above, dialect.quote)
    while block := list(islice(found, _ROWS)):
        remarks = [record.marked and dialect.is_remark(record.fields) for record in block]
        passed += [record.first for record, remark in zip(block, remarks, strict=True) if remark]
        kept = [record for record, remark in zip(block, remarks, strict=True) if not remark]
        yield [record.fields for record in kept], np.array([record.first for record in kept], dtype=np.int64)


def _plain_numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Numbers of cells, NaN for what is missing; None if one is no finite number in plain digits."""
    joined = "\n".join(("", *cells))
    if "_" in joined or not joined.isascii() or _ZERO.search(joined):  # float() takes 1_0 and foreign digits
        return None
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        try:
            values = np.array([np.nan if cell in _MISSING else float(cell) for cell in cells])
        except ValueError:
            return None
    return None if np.isinf(values).any() else values


class _Known(dict[str, str | None]):
    """Cells of a column to their texts, which rows share."""

    def __missing__(self, cell: str) -> str | None:
        text = unformatted(cell.strip())
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)  # a letter and its accent are one, on any system
        found = None if text.lower() in MISSING else text
        self[cell] = found
        return found

    def texts(self, cells: Sequence[str]) -> NDArray[Any]:
        """Texts of cells, None for what is missing."""
        if len(self) > _MOST_SHARED:
            self.clear()
        found = np.empty(len(cells), dtype=object)
        found[:] = [*map(self.__getitem__, cells)]
        return found
