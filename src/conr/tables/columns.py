"""Columns of a table and their kinds, decided once, on the whole table."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice
from conr._hints import option
from conr.tables.bad_rows import BadRows, shown
from conr.tables.dates import ORDERS, compact_dates, detected_order, read_dates
from conr.tables.files import Column, RawTable
from conr.tables.numbers import PLAIN, UnclearError, Writing, detected_writing, looks_like_number

MOST_CATEGORIES = 1000
_FEW_CATEGORIES = 100  # as many may differ in almost every row

_WHOLE = re.compile(r"([+-]?\d+)\.0*")


@dataclass(frozen=True)
class Kind:
    """The kind of a column, and the way in which its values are written, which later files share.

    Args:
        name: "number", "category" or "date".
        writing: of numbers.
        order: of day, month and year in dates, one of `conr.tables.dates.ORDERS`.

    Raises:
        ValueError: an unknown word.
    """

    name: str
    writing: Writing = PLAIN
    order: str = ORDERS[0]

    def __post_init__(self) -> None:
        check_choice("kind", self.name, ("number", "category", "date"))
        check_choice("order", self.order, ORDERS)

    def state(self) -> dict[str, str]:
        """The kind as JSON holds it."""
        return {"kind": self.name, **asdict(self.writing), "order": self.order}

    def with_decimal(self, mark: str | None) -> "Kind":
        """The kind with another decimal mark, if one is given."""
        if mark is None or self.name != "number" or mark == self.writing.decimal:
            return self
        thousands = "" if self.writing.thousands == mark else self.writing.thousands
        return replace(self, writing=replace(self.writing, decimal=mark, thousands=thousands))

    @classmethod
    def from_state(cls, state: Mapping[str, str]) -> "Kind":
        """The kind that `state` describes.

        Raises:
            ValueError, KeyError, TypeError: it describes none.
        """
        writing = Writing(state["decimal"], state["thousands"], state["unit"])
        return cls(state["kind"], writing, state["order"])

    def read(self, column: Column) -> tuple[Column, list[int]]:
        """Values of this kind, and the positions of those that are none.

        Args:
            column: texts with None for what is missing, or what is of this kind already.
        """
        if self.name == "category":
            return as_texts(column), []
        if column.dtype != object and self.name == "number":
            return column.astype(np.float64, copy=False), []
        if self.name == "number":
            return self.writing.numbers(column, len(column))
        if column.dtype.kind == "M":
            return column.astype("datetime64[s]"), []
        if column.dtype != object:  # 20240229
            column = np.array([None if np.isnan(one) else f"{one:.0f}" for one in column], dtype=object)
        dates = read_dates(column, self.order)
        return dates, np.flatnonzero(np.isnat(dates) & ~missing(column)).tolist()


NUMBER, CATEGORY, DATE = Kind("number"), Kind("category"), Kind("date")
_OF_DTYPE = {"O": CATEGORY, "M": DATE}


@dataclass(frozen=True)
class Columns:
    """The input columns of some rows.

    Args:
        values: by name in the table's order, shape (n,) each: numbers are float64 with NaN for what is missing,
            categories Python strings with None, dates datetime64 in seconds with NaT.
        rows: of each row the number that messages name it by, shape (n,), int64.
        written: kinds of columns whose values are written in a way of their own.
    """

    values: dict[str, Column]
    rows: NDArray[np.int64]
    written: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Kind of each column by name."""
        found = {name: _OF_DTYPE.get(values.dtype.kind, NUMBER) for name, values in self.values.items()}
        return found | {name: kind for name, kind in self.written.items() if name in found}

    @property
    def numbers(self) -> dict[str, NDArray[np.float64]]:
        """The columns of numbers."""
        return {name: values for name, values in self.values.items() if values.dtype.kind not in _OF_DTYPE}

    @property
    def categories(self) -> dict[str, Column]:
        """The columns of categories."""
        return {name: values for name, values in self.values.items() if values.dtype == object}

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def take(self, rows: NDArray[np.int64]) -> "Columns":
        """Some of the rows, by position."""
        return Columns({name: values[rows] for name, values in self.values.items()}, self.rows[rows], self.written)


def number_columns(matrix: NDArray[np.float64], names: Sequence[str]) -> Columns:
    """Columns of a matrix (n, columns) that holds numbers only, NaN for what is missing."""
    return Columns({name: matrix[:, position] for position, name in enumerate(names)}, np.arange(len(matrix)))


class Sorted(NamedTuple):
    """Columns of a file by what they are good for.

    Attributes:
        columns: those that are inputs.
        unusable: by name, what is wrong with a column.
        left_out: by name, why a column tells nothing: an index, or an identifier of the row.
    """

    columns: Columns
    unusable: dict[str, str]
    left_out: dict[str, str]


def sort_columns(table: RawTable, names: Sequence[str], bad: BadRows, *, categorical: Sequence[str] = ()) -> Sorted:
    """Decide of each column of a file whether it holds numbers, dates or categories.

    A column is one of numbers or dates if more than half of its values are, and one of categories otherwise or if
    ``categorical`` names it. A column without any value, of numbers that can be read in two ways, or with too many
    categories (see `category_problem`), is unusable. Identifiers are left out.

    Args:
        table: content of the file.
        names: of the columns that are inputs.
        bad: told of each text among numbers or dates, and of each infinite number.
        categorical: columns that are categories, whatever they hold.

    Raises:
        ValueError: from ``bad``.
    """
    kinds: dict[str, Kind] = {}
    values: dict[str, Column] = {}
    unusable: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in names:
        column = table.column(name)
        try:
            kind = CATEGORY if name in categorical else found_kind(table, name)
        except UnclearError as error:
            unusable[name] = str(error)
            continue
        reason = None if name in categorical else identifier(table, name, kind)
        is_empty = missing(column).all()
        if reason or (is_empty and (name in table.unnamed or _UNNAMED.fullmatch(name))):
            left_out[name] = reason or "no name and no value"
        elif is_empty:
            unusable[name] = "expected values, got none in any row"
        else:
            found = read_column(table, name, kind, bad)
            problem = category_problem(found) if kind == CATEGORY else None
            if problem:
                unusable[name] = problem
            else:
                kinds[name], values[name] = kind, found
    return Sorted(Columns(values, table.row_numbers, kinds), unusable, left_out)


def same_columns(path: Path, table: RawTable, kinds: Mapping[str, Kind], bad: BadRows) -> Columns:
    """Columns of another file, of the kinds that those of the training file have.

    Args:
        path: the other file, as messages name it.
        table: its content.
        kinds: by name, as `Columns.kinds` of the training table.
        bad: told of each text among numbers or dates, and of each infinite number.

    Raises:
        ValueError: a column is not there.
    """
    gone = [name for name in kinds if name not in table.names]
    if gone:
        alike = {name.casefold(): name for name in table.names}
        near = [alike[name.casefold()] for name in gone if name.casefold() in alike]
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"{path}: expected the columns of the training file, found no {', '.join(map(repr, gone))}{hint}"
        )
    mark = table.written.decimal
    values = {name: read_column(table, name, kind.with_decimal(mark), bad) for name, kind in kinds.items()}
    return Columns(values, table.row_numbers, kinds)


def found_kind(table: RawTable, name: str, *, dates: bool = True) -> Kind:
    """The kind of a column of a file; "category" if half of its values or more are neither numbers nor dates.

    Args:
        table: content of the file.
        name: of the column.
        dates: whether whole numbers such as 20240229 may be dates.

    Raises:
        UnclearError: numbers or dates that can be read in several ways.
    """
    column = table.column(name)
    first = table.written.dates
    compact = dates and first != "none"
    if column.dtype != object:
        is_date = column.dtype.kind == "M" or (compact and compact_dates(column))
        return DATE if is_date else NUMBER
    counts = Counter(column.tolist())
    del counts[None]
    texts, repeats = list(counts), np.array(list(counts.values()))  # (distinct texts,)
    decimals = {"decimal": table.written.decimal, "likely": table.likely_decimal}
    try:
        writing = detected_writing(texts, **decimals)
    except UnclearError:
        order = detected_order(counts, first)  # 01JAN2020 looks like a number with a unit
        if order is None:
            raise
        return Kind("date", order=order)
    if writing is not None:
        is_date = compact and writing == PLAIN and compact_dates(writing.numbers(texts, len(texts))[0])
        return DATE if is_date else Kind("number", writing)
    order = detected_order(counts, first)
    if order is not None:
        return Kind("date", order=order)
    likes = [text for text in texts if looks_like_number(text)]
    writing = detected_writing(likes, **decimals) or PLAIN
    if repeats[writing.numbers(texts, len(texts))[1]].sum() < 0.5 * repeats.sum():
        return Kind("number", writing)
    return CATEGORY


def read_column(table: RawTable, name: str, kind: Kind, bad: BadRows) -> Column:
    """The values of a column; ``bad`` is told of each that is not of its kind or is infinite."""
    column = table.column(name)
    values, wrong = kind.read(column)
    for position in wrong:
        problem = f"column {name!r}: expected a {kind.name}, got {shown(column[position])}"
        bad.add(int(table.row_numbers[position]), problem + _other_mark(kind, column[position]))
    if kind.name == "number":
        for position in np.flatnonzero(np.isinf(values)).tolist():
            got = f"column {name!r}: expected a finite number, got {values[position]}"
            bad.add(int(table.row_numbers[position]), got)
    return values


def _other_mark(kind: Kind, text: object) -> str:
    """Say how a text would be a number."""
    other = {".": ",", ",": "."}[kind.writing.decimal]
    if (
        kind.name == "number"
        and isinstance(text, str)
        and other in text
        and not kind.with_decimal(other).read(np.array([text], dtype=object))[1]
    ):
        return f"; is {other!r} its decimal mark? ({option('decimal', repr(other))})"
    return ""


_IDENTIFIER = re.compile(
    r"(?:.*[_ .-])?(?:id|ids|index|key|uuid|guid|unnamed: \d+|row|nr|no)|.*[a-z]Id"
    r"|row[ _.]?(?:id|no|nr|num|number|names?)|__index_level_\d+__",
    re.ASCII,
)
_UNNAMED = re.compile(r"Unnamed: \d+", re.ASCII)  # as pandas writes it
_FEWEST_IDENTIFIED = 20


def identifier(table: RawTable, name: str, kind: Kind) -> str | None:
    """Say why a column only names the rows, or nothing: every row has a different text, or a counter without a name."""
    column = table.column(name)
    if len(column) < _FEWEST_IDENTIFIED or missing(column).any() or kind.name == "date":
        return None
    if kind == CATEGORY:
        return "every row has a different text" if len(set(column.tolist())) == len(column) else None
    named = _IDENTIFIER.fullmatch(name) or _IDENTIFIER.fullmatch(name.lower())
    if name not in table.unnamed and not named:
        return None
    numbers = kind.read(column)[0]
    if (numbers != np.round(numbers)).any() or len(np.unique(numbers)) < len(numbers):
        return None
    if name in table.unnamed and (np.diff(numbers) == 1).all():
        return "a row counter without a name"
    return "an identifier by its name, and every row has a different number" if named else None


def category_problem(texts: Column) -> str | None:
    """Say why a column cannot be one of categories, or nothing.

    There are at most a thousand; and from a hundred on, each must have two rows on average, as identifiers have not.
    """
    distinct = set(texts.tolist()) - {None}
    present = len(texts) - int(missing(texts).sum())
    if len(distinct) <= _FEW_CATEGORIES or (len(distinct) <= MOST_CATEGORIES and len(distinct) <= present / 2):
        return None
    limit = MOST_CATEGORIES if len(distinct) > MOST_CATEGORIES else _FEW_CATEGORIES
    example = shown(min(distinct))
    return f"expected numbers or at most {limit} categories, got {len(distinct)} different texts such as {example}"


def missing(column: Column) -> NDArray[np.bool_]:
    """Mask of the values that are missing, shape (n,)."""
    if column.dtype == object:
        return np.array([value is None for value in column.tolist()], dtype=bool)
    return np.isnat(column) if column.dtype.kind == "M" else np.isnan(column)


def as_texts(column: Column, gone: NDArray[np.bool_] | None = None) -> Column:
    """Values as texts, None for what is missing; a whole number is one category, written as 3, 3.0 or a float.

    Args:
        column: shape (n,), of any values.
        gone: which of them are missing; by default None and NaN.
    """
    texts = np.empty(len(column), dtype=object)
    values = column.tolist()
    if gone is None and {type(value) for value in set(values)} <= {str, type(None)}:
        known = {value: None if value is None else _text(value) for value in set(values)}
        texts[:] = [*map(known.__getitem__, values)]
        return texts
    gone = missing(column) if gone is None else gone
    texts[:] = [None if none else _text(value) for value, none in zip(values, gone, strict=True)]
    return texts


def _text(value: object) -> str:
    text = str(value)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
