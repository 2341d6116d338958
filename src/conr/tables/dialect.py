"""The dialect of a CSV file: its encoding, its separator, and where its header stands."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from conr._checks import check_choice
from conr.tables.bad_rows import BadRows
from conr.tables.numbers import looks_like_number

# In this order: a comma may be a decimal mark, and a space stands in many a text.
SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "space"}

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SAMPLE = 200  # rows that the dialect is detected from
_CONSISTENT = 0.9  # share of them that must have equally many fields
_MOST_ABOVE = 20  # lines above the header
_NAMED_MARK = re.compile(r"\ufeff?sep=(.)[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
_YEAR = re.compile(r"(?:1[89]|20|21)\d\d", re.ASCII)

Record = tuple[int, list[str]]
"""The number of its first line in the file, and its fields."""


class Dialect(NamedTuple):
    """The way in which a CSV file is written.

    Attributes:
        mark: between fields.
        names: of the columns; empty texts without a header.
        above: records that are no rows: the header and what stands above it.
        last_above: line of the last of them, 0 if there is none.
        first_line: lines before the first record.
        ended: whether a mark ends each row, too.
        notes: sentences on what was passed over.
    """

    mark: str
    names: list[str]
    above: int
    last_above: int
    first_line: int
    ended: bool
    notes: tuple[str, ...]

    def rows(self, path: Path, text: str, bad: BadRows) -> tuple[list[list[str]], list[int]]:
        """Rows and their numbers; ``bad`` is told of those with another number of fields."""
        width = len(self.names)
        rows, numbers = [], []
        for number, fields in islice(_records(path, text, self.mark, self.first_line), self.above, None):
            kept = fields[:-1] if self.ended and len(fields) == width + 1 and not fields[-1].strip() else fields
            if len(kept) == width:
                rows.append(kept)
                numbers.append(number)
            else:
                bad.add(number, f"expected {width} fields, got {len(fields)}")
        return rows, numbers


def found_dialect(path: Path, text: str, *, separator: str | None, header: bool) -> Dialect:
    """The dialect of a text.

    Args:
        path: the file, as messages name it.
        text: its content.
        separator: a name or character of ``SEPARATORS``; detected if None.
        header: whether a row holds the names.

    Raises:
        ValueError: none is clear, or the header is none.
    """
    named = _NAMED_MARK.match(text)
    first_line = 0 if named is None else 1
    marks = [*SEPARATORS] if named is None else [named[1]]
    if separator is not None:
        marks = [_named_separator(separator)]
    samples = {mark: list(islice(_records(path, text, mark, first_line), _SAMPLE + _MOST_ABOVE)) for mark in marks}
    if not any(samples.values()):
        raise ValueError(f"{path}: expected rows, got fields without any text")
    for most_above in (0, _MOST_ABOVE) if header else (0,):
        for mark, sample in samples.items():
            found = _fitting(sample, most_above, header=header)
            if found is not None:
                return _dialect(path, mark, sample, *found, first_line=first_line, header=header)
    if len(marks) == 1:
        return _dialect(path, marks[0], samples[marks[0]], 0, None, first_line=first_line, header=header)
    lines = samples[","]
    first = [fields for mark in marks if mark != " " for _, fields in samples[mark][:_MOST_ABOVE]]
    if all(len(fields) == 1 for fields in first):  # a single column
        return _dialect(path, ",", lines, 0, 1, first_line=first_line, header=header)
    raise ValueError(
        f"{path}: expected columns between {', '.join(SEPARATORS.values())}, found none of them equally often in most "
        f"lines; the first line is {text.strip().partition(chr(10))[0][:80]!r} (separator names it)"
    )


def _fitting(sample: list[Record], most_above: int, *, header: bool) -> tuple[int, int] | None:
    """Records above the header and fields of a row, if most rows have equally many."""
    sizes = [len(fields) for _, fields in sample]
    width = max(set(sizes), key=sizes.count, default=0)
    if width < 2:
        return None
    for above in range(min(most_above + 1, len(sample))):
        below = sample[above + 1 :]
        ends = sizes[above] == width - 1 and all(not fields[-1].strip() for _, fields in below)
        if not header or sizes[above] == width or ends:
            consistent = sizes[above + ends :].count(width) >= _CONSISTENT * len(sizes[above + ends :])
            return (above, width) if consistent else None
    return None


def _dialect(
    path: Path, mark: str, sample: list[Record], above: int, width: int | None, *, first_line: int, header: bool
) -> Dialect:
    rows = sample[above + header :]
    if header:
        names = [name.lstrip("\ufeff") for name in sample[above][1]]
        _check_header(path, names, rows)
    else:
        common = Counter(len(fields) for _, fields in sample).most_common(1)[0][0]
        names = [""] * (width or common)
    ended = bool(rows) and all(not fields[-1].strip() for _, fields in rows)
    if ended and len(names) > 1 and not names[-1].strip() and all(len(fields) == len(names) for _, fields in rows):
        names = names[:-1]
    notes = () if above == 0 else (f"{path}: {above} line{'s' if above > 1 else ''} above the header passed over",)
    last = sample[above + header - 1][0] if above + header else 0
    return Dialect(mark, names, above + header, last, first_line, ended, notes)


def _check_header(path: Path, names: list[str], rows: list[Record]) -> None:
    if not all(looks_like_number(name.strip()) or not name.strip() for name in names) or not any(names):
        return
    years = all(_YEAR.fullmatch(name.strip()) for name in names) and len(set(names)) == len(names)
    if years and not any(all(_YEAR.fullmatch(field.strip()) for field in fields) for _, fields in rows):
        return
    raise ValueError(
        f"{path}, row 1: expected names of columns, got numbers ({', '.join(names)[:80]}); header: false says that "
        "the file has no names"
    )


def _named_separator(name: str) -> str:
    for mark, known in SEPARATORS.items():
        if name in (mark, known):
            return mark
    check_choice("separator", name, SEPARATORS.values())
    raise AssertionError


def _records(path: Path, text: str, mark: str, first_line: int = 0) -> Iterator[Record]:
    """Records of a text, without its first lines; empty lines are none."""
    lines = io.StringIO(text, newline="")
    for _ in range(first_line):
        lines.readline()
    if mark == " ":
        yield from ((number, line.split()) for number, line in enumerate(lines, start=first_line + 1) if line.strip())
        return
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    number = first_line + 1
    try:
        for fields in reader:
            if fields and any(field.strip() for field in fields):
                yield number, fields
            number = first_line + reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, row {number}: expected a row of a table, got one that breaks: {error}") from error


def decoded(path: Path, content: bytes, encoding: str | None) -> str:
    """The text of a file's bytes.

    Args:
        path: the file, as messages name it.
        content: its bytes.
        encoding: name; if None, what the byte order mark says, else UTF-8, else Windows-1252.

    Raises:
        ValueError: an unknown encoding, one that does not fit, or no text.
    """
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
