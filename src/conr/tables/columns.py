"""Columns of a table and their kinds, decided once, on the whole table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conr.tables.bad_rows import BadRows
from conr.tables.files import Column, RawTable, parse_numbers

NUMBER, CATEGORY = "number", "category"

MOST_CATEGORIES = 1000
_FEW_CATEGORIES = 100  # as many may differ in almost every row

_WHOLE = re.compile(r"([+-]?\d+)\.0*")


@dataclass(frozen=True)
class Columns:
    """The input columns of some rows.

    Args:
        values: by name in the table's order, shape (n,) each: numbers are float64 with NaN for what is missing,
            categories Python strings with None for it.
        rows: of each row the number that messages name it by, shape (n,), int64.
    """

    values: dict[str, Column]
    rows: NDArray[np.int64]

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each column by name: "number" or "category"."""
        return {name: CATEGORY if values.dtype == object else NUMBER for name, values in self.values.items()}

    @property
    def numbers(self) -> dict[str, NDArray[np.float64]]:
        """The columns of numbers."""
        return {name: values for name, values in self.values.items() if values.dtype != object}

    @property
    def categories(self) -> dict[str, Column]:
        """The columns of categories."""
        return {name: values for name, values in self.values.items() if values.dtype == object}

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def take(self, rows: NDArray[np.int64]) -> "Columns":
        """Some of the rows, by position."""
        return Columns({name: values[rows] for name, values in self.values.items()}, self.rows[rows])


def number_columns(matrix: NDArray[np.float64], names: Sequence[str]) -> Columns:
    """Columns of a matrix (n, columns) that holds numbers only, NaN for what is missing."""
    return Columns({name: matrix[:, position] for position, name in enumerate(names)}, np.arange(len(matrix)))


def sort_columns(
    table: RawTable, names: Sequence[str], bad: BadRows, *, categorical: Sequence[str] = ()
) -> tuple[Columns, dict[str, str]]:
    """Decide of each column of a file whether it holds numbers or categories.

    A column is one of numbers if more than half of its values are numbers, and one of categories otherwise or if
    ``categorical`` names it. A column without any value, or with too many categories (see `category_problem`), is
    unusable.

    Args:
        table: content of the file.
        names: of the columns that are inputs.
        bad: told of each text among numbers, and of each infinite number.
        categorical: columns that are categories, whatever they hold.

    Returns:
        The usable columns, and by name what is wrong with the others.

    Raises:
        ValueError: from ``bad``.
    """
    values: dict[str, Column] = {}
    unusable = {}
    for name in names:
        column = table.column(name)
        wrong = parse_numbers(column)[1]
        present = len(column) - int(missing(column).sum())
        if present == 0:
            unusable[name] = "expected values, got none in any row"
        elif name not in categorical and len(wrong) < 0.5 * present:
            values[name] = _checked_numbers(table, name, bad)
        else:
            texts = as_texts(column)
            problem = category_problem(texts)
            if problem:
                unusable[name] = problem
            else:
                values[name] = texts
    return Columns(values, table.row_numbers), unusable


def same_columns(path: Path, table: RawTable, kinds: Mapping[str, str], bad: BadRows) -> Columns:
    """Columns of another file, of the kinds that those of the training file have.

    Args:
        path: the other file, as messages name it.
        table: its content.
        kinds: by name, as `Columns.kinds` of the training table.
        bad: told of each text among numbers, and of each infinite number.

    Raises:
        ValueError: a column is not there.
    """
    gone = [name for name in kinds if name not in table.names]
    if gone:
        raise ValueError(f"{path}: expected the columns of the training file, found no {', '.join(map(repr, gone))}")
    return Columns(
        {
            name: _checked_numbers(table, name, bad) if kind == NUMBER else as_texts(table.column(name))
            for name, kind in kinds.items()
        },
        table.row_numbers,
    )


def category_problem(texts: Column) -> str | None:
    """Say why a column cannot be one of categories, or nothing.

    There are at most a thousand; and from a hundred on, each must have two rows on average, as identifiers have not.
    """
    distinct = {text for text in texts if text is not None}
    present = len(texts) - int(missing(texts).sum())
    if len(distinct) <= _FEW_CATEGORIES or (len(distinct) <= MOST_CATEGORIES and len(distinct) <= present / 2):
        return None
    limit = MOST_CATEGORIES if len(distinct) > MOST_CATEGORIES else _FEW_CATEGORIES
    return (
        f"expected numbers or at most {limit} categories, got {len(distinct)} different texts such as {min(distinct)!r}"
    )


def missing(column: Column) -> NDArray[np.bool_]:
    """Mask of the values that are missing, shape (n,)."""
    if column.dtype == object:
        return np.fromiter((value is None for value in column), dtype=bool, count=len(column))
    return np.isnan(column)


def as_texts(column: Column, gone: NDArray[np.bool_] | None = None) -> Column:
    """Values as texts, None for what is missing; a whole number is one category, written as 3, 3.0 or a float.

    Args:
        column: shape (n,), of any values.
        gone: which of them are missing; by default None and NaN.
    """
    texts = np.empty(len(column), dtype=object)
    gone = missing(column) if gone is None else gone
    texts[:] = [None if none else _text(value) for value, none in zip(column.tolist(), gone, strict=True)]
    return texts


def _text(value: object) -> str:
    text = str(value)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _checked_numbers(table: RawTable, name: str, bad: BadRows) -> NDArray[np.float64]:
    column = table.column(name)
    numbers, wrong = parse_numbers(column)
    for position in wrong:
        bad.add(int(table.row_numbers[position]), f"column {name!r}: expected a number, got {column[position]!r}")
    for position in np.flatnonzero(np.isinf(numbers)).tolist():
        bad.add(int(table.row_numbers[position]), f"column {name!r}: expected a finite number, got {numbers[position]}")
    return numbers
