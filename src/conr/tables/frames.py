"""Columns of a DataFrame or a matrix of objects, with the kinds that its dtypes and values have."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice
from conr.tables.bad_rows import shown
from conr.tables.columns import CATEGORY, DATE, NUMBER, Columns, Kind, as_texts, category_problem

_NO_NUMBERS = {"m": "a time span", "c": "a complex number", "V": "a record"}


def is_frame(table: Any) -> bool:
    """Tell if a table has named columns, as those of pandas."""
    return hasattr(table, "columns") and hasattr(table, "__getitem__") and hasattr(table, "dtypes")


def check_categorical(categorical: Any) -> None:
    """Require names or positions of columns, or None.

    Raises:
        TypeError: something else.
    """
    if categorical is not None and (isinstance(categorical, str) or not isinstance(categorical, Sequence | np.ndarray)):
        raise TypeError(f"categorical: expected a list of names or positions, got {type(categorical).__name__}")
    for one in () if categorical is None else categorical:
        if not isinstance(one, str | int | np.integer):
            raise TypeError(f"categorical: expected names or positions of columns, got {one!r:.80}")


def has_texts(table: Any, categorical: Sequence[int | str] | None) -> bool:
    """Tell if a table must be read column by column, as some of it is not plain numbers.

    Raises:
        TypeError: as `check_categorical`.
    """
    check_categorical(categorical)
    if categorical is not None and len(categorical) > 0:
        return True
    if is_frame(table):
        return any(
            _is_categorical(table[name]) or _values(table[name]).dtype.kind not in "fiub" for name in table.columns
        )
    array = table if isinstance(table, np.ndarray) else np.asarray(table) if isinstance(table, list | tuple) else None
    if array is None or array.ndim != 2 or array.dtype.kind not in "OUS":
        return False
    return array.dtype.kind != "O" or any(isinstance(value, str) for value in array.flat)


def frame_columns(
    table: Any,
    names: Sequence[str],
    *,
    categorical: Sequence[int | str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> Columns:
    """Read the columns of a table with their kinds.

    Numbers and truth values are numbers; dates are dates; texts and categorical dtypes are categories, and so is a
    column of objects that has no value in any row; None, NaN and NA are missing.

    Args:
        table: a DataFrame, or a matrix of objects or texts.
        names: of its columns.
        categorical: columns that are categories although they hold numbers, by name or position.
        kinds: those of the training table, for another one; found anew if None.

    Raises:
        TypeError: a value that is neither a number nor a text.
        ValueError: an infinite number, a text among numbers or dates, or too many categories; the message names the
            column. A name or position in ``categorical`` that no column has.
    """
    chosen = _chosen(names, categorical)
    found = {}
    for position, name in enumerate(names):
        column = _column(table, position)
        values = _values(column)
        gone = _missing(column, values)
        kind = _kind(name, column, values, gone, chosen=name in chosen) if kinds is None else kinds[name]
        if kind.name == "date":
            found[name] = _dates(name, column, gone, kind)
        elif kind == CATEGORY:
            found[name] = as_texts(values, gone)
            problem = category_problem(found[name]) if kinds is None else None
            if problem:
                raise ValueError(f"column {name!r}: {problem}; if they are dates, pandas.to_datetime reads them")
        else:
            found[name] = _numbers(name, values, gone, kind)
    return Columns(found, np.arange(len(table)), kinds or {})


def _chosen(names: Sequence[str], categorical: Sequence[int | str] | None) -> set[str]:
    chosen = set()
    for one in categorical if categorical is not None else ():
        if isinstance(one, str):
            check_choice("categorical", one, names)
            chosen.add(one)
        elif -len(names) <= one < len(names):
            chosen.add(names[one])
        else:
            raise ValueError(f"categorical: expected a position in {len(names)} columns, got {one}")
    return chosen


def _column(table: Any, position: int) -> Any:
    if hasattr(table, "iloc"):
        return table.iloc[:, position]
    return table[table.columns[position]] if is_frame(table) else np.asarray(table)[:, position]


def _values(column: Any) -> NDArray[Any]:
    dtype = getattr(column, "dtype", None)
    if getattr(dtype, "kind", None) in {"f", "i", "u"} and hasattr(column, "isna") and column.isna().any():
        return column.to_numpy(dtype=np.float64, na_value=np.nan)  # type: ignore[no-any-return]  # pandas' nullable ones
    return column if isinstance(column, np.ndarray) else np.asarray(column)


def _missing(column: Any, values: NDArray[Any]) -> NDArray[np.bool_]:
    if hasattr(column, "isna"):
        return np.asarray(column.isna(), dtype=bool)
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values), dtype=bool)
    if values.dtype.kind == "O":
        return np.array([value is None or (isinstance(value, Real) and math.isnan(value)) for value in values])
    return np.zeros(len(values), dtype=bool)


def _is_categorical(column: Any) -> bool:
    return type(getattr(column, "dtype", None)).__name__ in {"CategoricalDtype", "Categorical", "Enum"}


def _kind(name: str, column: Any, values: NDArray[Any], gone: NDArray[np.bool_], *, chosen: bool) -> Kind:
    if chosen or _is_categorical(column) or values.dtype.kind in "US":
        return CATEGORY
    present = values[~gone] if values.dtype.kind == "O" else values[:0]
    if values.dtype.kind == "M" or (len(present) > 0 and all(isinstance(value, date) for value in present)):
        return DATE
    wrong = next((value for value in present if not isinstance(value, Real | Decimal | str | np.bool_)), None)
    if wrong is not None or values.dtype.kind in _NO_NUMBERS:
        got = _NO_NUMBERS[values.dtype.kind] if wrong is None else f"{type(wrong).__name__} {wrong!r:.40}"
        raise TypeError(f"column {name!r}: argument must be a string or a real number, got {got}")
    if values.dtype.kind == "O" and (len(present) == 0 or any(isinstance(value, str) for value in present)):
        return CATEGORY
    return NUMBER


def _dates(name: str, column: Any, gone: NDArray[np.bool_], kind: Kind) -> NDArray[Any]:
    values = np.asarray(column)
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]")
    texts = np.empty(len(values), dtype=object)
    texts[:] = [None if none else _iso(value) for value, none in zip(values, gone, strict=True)]
    dates, wrong = kind.read(texts)
    if wrong:
        raise ValueError(f"column {name!r}: expected dates, got {values[wrong[0]]!r} in row {wrong[0]}")
    return dates


def _iso(value: Any) -> str:
    """A date as text; one with a time zone in UTC."""
    if getattr(value, "tzinfo", None) is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat()[:19] if isinstance(value, date) else str(value)


def _numbers(name: str, values: NDArray[Any], gone: NDArray[np.bool_], kind: Kind) -> NDArray[np.float64]:
    numbers = np.full(len(values), np.nan)
    for row in np.flatnonzero(~gone) if values.dtype.kind not in "fiub" else ():
        try:
            value = values[row]
            numbers[row] = kind.writing.number(value) if isinstance(value, str) else float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"column {name!r}: expected numbers, got {shown(values[row])} in row {row}") from None
    if values.dtype.kind in "fiub":
        numbers[~gone] = values[~gone]
    if np.isinf(numbers).any():
        raise ValueError(f"column {name!r}: expected finite numbers, got inf in row {np.isinf(numbers).argmax()}")
    return numbers
