"""The dialect of a CSV file: its separator, where its header stands, and which lines are remarks."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

from conr._checks import check_choice
from conr._hints import option
from conr.tables.numbers import looks_like_number

# In this order: a comma may be a decimal mark, and a space stands in many a text.
SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "space"}

_RARE_SEPARATORS = "\x01\x1f~^"

MISSING = frozenset((
    "", "0000-00-00", "0000-00-00 00:00:00",
    "na", "n/a", "n.a.", "#n/a", "<na>", "nan", "null", "none", "nil", "?", "-", "--", "\u2013", "\u2014", ".",
    "..", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "\\n", "(null)", "nat", "-nan", "#n/a n/a", "-1.#ind",
    "1.#qnan",
))  # fmt: skip
"""Texts of cells, in lower case, that stand for no value."""

INVISIBLE = " \t\r\n\v\f\u00a0\u200b\u200c\u200d\u2060\ufeff"
"""Spaces, and letters without a width, around a name."""

MOST_LINES = 2000
"""Lines at the top of a file that the dialect is detected from."""

_SAMPLE = 200  # rows
_CONSISTENT = 0.9  # share of them that must have equally many fields
_MOST_ABOVE = 20  # lines above the header
_NAMED_MARK = re.compile(r"\ufeff?sep=(.)[ \t]*(?:\r\n|\r|\n)?", re.IGNORECASE)
_YEAR = re.compile(r"(?:1[89]|20|21)\d\d", re.ASCII)
_DATE = re.compile(r"\d{1,4}[-/.:]\d.*", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?(?:\d*|\d{1,3}(?:\.\d{3})+),\d+", re.ASCII)
_POINT_NUMBER = re.compile(r"[+-]?(?:\d*|\d{1,3}(?:,\d{3})+)\.\d+", re.ASCII)
_SINGLE_QUOTED = re.compile(r"(?:^|[\t;|,]) *'[^'\r\n]*(?:''[^'\r\n]*)*' *(?=[\t;|,\r\n]|$)")
_DOUBLE_QUOTE = re.compile(r'(?:^|[\t;|,]) *"')
_SPACED = re.compile(r'"((?:[^"]|"")+)"(?=\s|$)|(\S+)')
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:[.,]\d{3})+", re.ASCII)


class Record(NamedTuple):
    """Fields between separators.

    Attributes:
        first: number of its first line in the file.
        last: of its last line.
        fields: the texts.
        marked: whether it is one line that begins with #.
    """

    first: int
    last: int
    fields: list[str]
    marked: bool = False


class Dialect(NamedTuple):
    """The way in which a CSV file is written.

    Attributes:
        mark: between fields.
        names: of the columns; empty texts without a header.
        last_above: number of the last line that is above all rows, 0 if there is none.
        ended: whether a mark ends each row, too.
        numeric: positions of columns of numbers or dates.
        likely_decimal: the decimal mark of numbers that cannot be meant otherwise, if these have one.
        notes: sentences on what was passed over.
        quote: around a field that may hold a mark.
    """

    mark: str
    names: list[str]
    last_above: int
    ended: bool
    numeric: frozenset[int]
    likely_decimal: str | None
    notes: tuple[str, ...]
    quote: str = '"'

    def trimmed(self, fields: list[str]) -> list[str]:
        """The fields of a row without the empty one behind a mark at its end."""
        extra = self.ended and len(fields) == len(self.names) + 1 and not fields[-1].strip()
        return fields[:-1] if extra else fields

    def is_remark(self, fields: list[str]) -> bool:
        """Tell if a line that begins with # is no row: it has other fields, or texts where rows have numbers."""
        fields = self.trimmed(fields)
        return len(fields) != len(self.names) or any(not _is_value(fields[one]) for one in self.numeric)


def found_dialect(path: Path, lines: Sequence[str], *, separator: str | None, header: bool) -> Dialect:
    """The dialect of a text.

    Args:
        path: the file, as messages name it.
        lines: its first ones.
        separator: a name or character of ``SEPARATORS``, or another character; detected if None.
        header: whether a row holds the names.

    Raises:
        ValueError: none is clear, or the header is none.
    """
    named = _NAMED_MARK.fullmatch(lines[0]) if lines else None
    start = 0 if named is None else 1
    marks = [*SEPARATORS, *_RARE_SEPARATORS] if named is None else [named[1]]
    if separator is not None:
        marks = [_named_separator(separator)]
    quote = _quote(lines[start:])
    samples = {
        mark: list(islice(records(path, lines[start:], mark, start, quote), _SAMPLE + _MOST_ABOVE)) for mark in marks
    }
    if not any(samples.values()):
        raise ValueError(f"{path}: expected rows, got fields without any text")
    for most_above in (0, _MOST_ABOVE) if header else (0,):
        for mark, sample in samples.items():
            if most_above and mark in _RARE_SEPARATORS and len(marks) > 1:
                continue
            found = _fitting(_rows(sample), most_above, header=header)
            if found is not None:
                return _dialect(path, mark, sample, *found, header=header, start=start)._replace(quote=quote)
    top = {mark: [record.fields for record in _rows(sample)[: _MOST_ABOVE + 1]] for mark, sample in samples.items()}
    single = all(len(fields) == 1 for mark in SEPARATORS if mark in marks and mark != " " for fields in top[mark])
    if single or len(marks) == 1:
        mark = "," if "," in marks else marks[0]
        found = 0, len(top[mark][0])
        return _dialect(path, mark, samples[mark], *found, header=header, start=start)._replace(quote=quote)
    first = next(line for line in lines if line.strip()).strip()
    odd = next((number for number, line in enumerate(lines, 1) if line.count(quote) % 2), None)
    never_ends = odd is not None and sum(line.count(quote) for line in lines) % 2
    hint = f"; a quotation mark in line {odd} may never end" if never_ends else ""
    raise ValueError(
        f"{path}: expected columns between {', '.join(SEPARATORS.values())}, found none of them equally often in most "
        f"lines; the first line is {first[:80]!r} (set {option('separator')}){hint}"
    )


def records(path: Path, lines: Iterable[str], mark: str, start: int = 0, quote: str = '"') -> Iterator[Record]:
    """Records of lines, without empty ones; a line that begins with # is always one of its own.

    Args:
        path: the file, as messages name it.
        lines: some of its lines.
        mark: between fields.
        start: number of lines above them.
        quote: around fields.

    Raises:
        ValueError: a line that breaks.
    """
    source = _Lines(lines, start)
    reader: Iterator[list[str]] = map(spaced_fields, source)
    if mark != " ":
        reader = csv.reader(source, delimiter=mark, quotechar=quote, skipinitialspace=True)
    while True:
        source.within = False
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise broken(path, source.first, error) from error
        for number, line in source.marked:
            yield Record(number, number, fields_of(line, mark, quote), marked=True)
        source.marked.clear()
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield Record(source.first, source.last, fields)


def fields_of(line: str, mark: str, quote: str) -> list[str]:
    """The fields of a line that is a record of its own."""
    if mark == " ":
        return spaced_fields(line)
    return next(csv.reader([line], delimiter=mark, quotechar=quote, skipinitialspace=True), [])


def spaced_fields(line: str) -> list[str]:
    """The fields of a line between spaces, of which those in quotation marks may hold some."""
    if '"' not in line:
        return line.split()
    return [quoted.replace('""', '"') if quoted else plain.strip('"') for quoted, plain in _SPACED.findall(line)]


def unformatted(text: str) -> str:
    """A cell without the formula around it that keeps a text in a spreadsheet as it is: ``="007"`` is 007."""
    return text[2:-1] if len(text) > 2 and text.startswith('="') and text.endswith('"') else text


def broken(path: Path, number: int, error: csv.Error) -> ValueError:
    """The error for a row that cannot be cut into fields."""
    hint = " (does a quotation mark never end?)" if "larger than field limit" in str(error) else ""
    return ValueError(f"{path}, row {number}: expected a table row, got a broken one: {error}{hint}")


class _Lines:
    """Lines for `csv.reader`, without those between two records that begin with #."""

    def __init__(self, lines: Iterable[str], start: int) -> None:
        self.numbered = enumerate(lines, start + 1)
        self.first = self.last = start
        self.line = ""
        self.within = False  # a record
        self.marked: list[tuple[int, str]] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.last, self.line = next(self.numbered)
        while not self.within and self.line.lstrip("\ufeff \t").startswith("#"):
            self.marked.append((self.last, self.line))
            self.last, self.line = next(self.numbered)
        if not self.within:
            self.first = self.last
        self.within = True
        return self.line


def _quote(lines: Sequence[str]) -> str:
    """The mark around fields: an apostrophe if nearly all lines have such a field, and none has one in other quotes."""
    some = [line for line in lines[:_SAMPLE] if line.strip() and not line.lstrip().startswith("#")]
    single = sum(_SINGLE_QUOTED.search(line) is not None for line in some)
    return "'" if single > _CONSISTENT * len(some) and not any(map(_DOUBLE_QUOTE.search, some)) else '"'


def _rows(sample: list[Record]) -> list[Record]:
    """Records without those that begin with #, unless the rows do, as colours."""
    plain = [record for record in sample if not record.marked]
    sizes = [len(record.fields) for record in plain]
    width = max(set(sizes), key=sizes.count, default=0)
    return plain if sum(one.marked and len(one.fields) == width for one in sample) <= len(plain) > 0 else sample


def _fitting(rows: list[Record], most_above: int, *, header: bool) -> tuple[int, int] | None:
    """Rows above the first that may be the header, and fields of a row, if most rows have equally many."""
    sizes = [len(record.fields) for record in rows]
    width = max(set(sizes), key=sizes.count, default=0)
    if width < 2:
        return None
    for above in range(min(most_above + 1, len(rows))):
        ends = sizes[above] == width - 1 and all(not record.fields[-1].strip() for record in rows[above + 1 :])
        if not header or sizes[above] == width or ends:
            consistent = sizes[above + ends :].count(width) >= _CONSISTENT * len(sizes[above + ends :])
            return (above, width) if consistent else None
    return None


def _dialect(
    path: Path, mark: str, sample: list[Record], above: int, width: int, *, header: bool, start: int
) -> Dialect:
    before, rows = _rows(sample)[:above][-1:], _rows(sample)[above:]
    numeric = frozenset(column for column in range(width) if _is_numeric(column, rows))
    names, last = [""] * width, start
    notes: tuple[str, ...] = ()
    if header:
        if before and _lacks_first_name(path, before[0], rows, numeric):
            chosen = before[0]._replace(fields=["", *before[0].fields])
        else:
            chosen = _header(path, rows, [one for one in sample if one.marked], numeric)
        names = [unformatted(name.strip(INVISIBLE)) for name in chosen.fields]
        rows = [record for record in rows if record.first > chosen.first]
        _check_header(path, chosen, rows)
        last = chosen.last
        passed = sum(record.first < chosen.first for record in sample)
        if passed:
            notes = (f"{path}: {passed} line{'s' if passed > 1 else ''} above the header skipped",)
    ended = bool(rows) and all(not record.fields[-1].strip() for record in rows)
    if ended and len(names) > 1 and not names[-1].strip() and all(len(one.fields) == len(names) for one in rows):
        names = names[:-1]
    likely = _likely_decimal([field.strip() for record in rows[:_SAMPLE] for field in record.fields])
    return Dialect(mark, names, last, ended, numeric, likely, notes)


def _header(path: Path, rows: list[Record], marked: list[Record], numeric: frozenset[int]) -> Record:
    """The record with the names: the one line of text above numbers, or one that begins with #."""

    def is_text(record: Record) -> bool:
        cells = [record.fields[one].strip() for one in numeric if one < len(record.fields)]
        known = [cell for cell in cells if cell.lower() not in MISSING]
        return bool(known) and not any(map(_is_value, known))

    size = len(rows[0].fields)
    top = [one for one in rows[: _MOST_ABOVE + 1] if len(one.fields) == size]
    texts = list(takewhile(is_text, top))
    before = [one for one in marked if one.first < rows[0].first and len(one.fields) == size]
    if before and not texts and not _are_years(rows[0].fields):
        is_name = is_text(before[-1]) if numeric else not before[-1].fields[0].startswith("# ")
        return before[-1] if is_name else rows[0]
    apart = [one for one in range(1, len(texts)) if texts[one].first > texts[one - 1].last + 1]
    texts = texts[apart[-1] :] if apart else texts  # an empty line divides them
    full = [one for one in texts if _may_be_names(one)]
    if not full and not _are_years(rows[0].fields):
        full = _names_below(top, is_text, numeric)
    if len(full) > 1:
        first, second = (f"{one.first} ({', '.join(one.fields)[:60]})" for one in full[:2])
        raise ValueError(f"{path}: expected one row of column names, got rows {first} and {second}: delete one")
    return (full or texts or rows)[0]


def _names_below(top: list[Record], is_text: Callable[[Record], bool], numeric: frozenset[int]) -> list[Record]:
    """The line of names below others that hold numbers; with one of these if that may be meant; empty if none is."""

    def is_row(record: Record) -> bool:
        return all(_is_value(record.fields[one]) for one in numeric)

    for position, record in enumerate(top):
        if not (is_text(record) and _may_be_names(record)) or any(map(_is_value, record.fields)):
            continue
        above = top[:position]
        if record.first > above[-1].last + 1:  # an empty line divides them
            return [record]
        others = [one for one in above if _may_be_names(one)]
        return [*others[:1], record] if is_row(top[0]) or not any(map(is_row, above)) else []
    return []


def _lacks_first_name(path: Path, record: Record, rows: list[Record], numeric: frozenset[int]) -> bool:
    """Tell if a line holds the names of all columns of the rows below but the first, as R writes names of rows.

    Raises:
        ValueError: the first column holds a text twice, so it names no rows.
    """
    row = rows[0]
    fits = (
        len(record.fields) == len(row.fields) - 1 and _may_be_names(record) and not any(map(_is_value, record.fields))
    )
    if not (fits and numeric and all(_is_value(row.fields[one]) for one in numeric)):
        return False
    firsts = [one.fields[0] for one in rows]
    if len(set(firsts)) < len(firsts):
        raise ValueError(
            f"{path}, row {record.first}: expected a name for each of {len(row.fields)} columns, got "
            f"{len(record.fields)}; a separator inside of a text needs quotation marks around the text"
        )
    return True


def _may_be_names(record: Record) -> bool:
    return all(map(str.strip, record.fields)) and len(set(record.fields)) == len(record.fields)


def _is_value(text: str) -> bool:
    """Tell if a cell is a number, something like a date, or missing."""
    text = unformatted(text.strip())
    return text.lower() in MISSING or looks_like_number(text) or _DATE.fullmatch(text) is not None


def _is_numeric(column: int, rows: list[Record]) -> bool:
    """Tell if the cells of a column, in the lower half of some rows, are numbers or dates."""
    lower = [one.fields[column].strip() for one in rows[len(rows) // 2 :] if column < len(one.fields)]
    known = [cell for cell in lower if cell.lower() not in MISSING]
    return bool(known) and sum(map(_is_value, known)) > 0.8 * len(known)


def _are_years(names: list[str]) -> bool:
    return all(_YEAR.fullmatch(name.strip()) for name in names)


def _check_header(path: Path, header: Record, rows: list[Record]) -> None:
    names = header.fields
    if not all(looks_like_number(name.strip()) or not name.strip() for name in names) or not any(names):
        return
    if _are_years(names) and len(set(names)) == len(names) and not any(_are_years(one.fields) for one in rows):
        return
    raise ValueError(
        f"{path}, row {header.first}: expected column names, got numbers ({', '.join(names)[:80]}); for a file without "
        f"names set {option('header', 'false')}"
    )


def _likely_decimal(fields: list[str]) -> str | None:
    certain = [field for field in fields if not _GROUPED.fullmatch(field)]
    comma, point = (any(map(number.fullmatch, certain)) for number in (_COMMA_NUMBER, _POINT_NUMBER))
    return None if comma == point else "," if comma else "."


def _named_separator(name: str) -> str:
    if name == "\\t":
        return "\t"
    for mark, known in SEPARATORS.items():
        if name == mark or name.lower() == known:
            return mark
    if len(name) == 1 and not name.isalnum() and name not in "\"'\r\n.":
        return name
    check_choice("separator", name, SEPARATORS.values())
    raise AssertionError
