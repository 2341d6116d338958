"""What an estimator is given as X: columns of numbers and categories, and the encoding whose state is plain arrays."""

import math
import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from conr._checks import check_choice
from conr.tables.columns import InputColumns

SCALINGS = ("quantile", "standard", "none")
NEW_CATEGORIES = ("ignore", "error")

Arrays = dict[str, NDArray[np.float64]]

_MISSING = "(missing)"
_MOST_CATEGORIES = 1000
_MOST_QUANTILES = 1000
_EDGE = 1e-7  # as far as a quantile goes into the tails of the normal distribution: 5.2 deviations


class Kinds(NamedTuple):
    """Which columns of the training table are what, by name in their order."""

    numbers: list[str]
    categories: list[str]


def has_texts(table: Any, categorical: Sequence[int | str] | None) -> bool:
    """Whether a table must be read column by column, as some of it is not plain numbers.

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


def is_frame(table: Any) -> bool:
    """Whether a table has named columns, as those of pandas."""
    return hasattr(table, "columns") and hasattr(table, "__getitem__") and hasattr(table, "dtypes")


def number_columns(matrix: NDArray[np.float64], names: Sequence[str]) -> InputColumns:
    """The columns of a matrix that holds numbers only, NaN for what is missing."""
    return InputColumns({name: matrix[:, position] for position, name in enumerate(names)}, {}, {})


def frame_columns(
    table: Any, names: Sequence[str], *, categorical: Sequence[int | str] | None = None, kinds: Kinds | None = None
) -> InputColumns:
    """Sort the columns of a table into numbers and categories.

    Numbers and truth values are numbers; texts and categorical dtypes are categories; None, NaN and NA are missing.

    Args:
        table: a DataFrame, or a matrix of objects or texts.
        names: of its columns.
        categorical: columns that are categories although they hold numbers, by name or position.
        kinds: those of the training table, for another one; found anew if None.

    Raises:
        TypeError: a value that is neither a number nor a text.
        ValueError: an infinite number, a text among numbers, dates, or too many categories; the message names the
            column. A name or position in ``categorical`` that no column has.
    """
    chosen = _chosen(names, categorical)
    found = InputColumns({}, {}, {})
    for position, name in enumerate(names):
        column = _column(table, position)
        values = _values(column)
        missing = _missing(column, values)
        is_category = (
            name in chosen or _is_category(name, column, values, missing) if kinds is None else name in kinds.categories
        )
        if is_category:
            found.categories[name] = _texts(values, missing)
            if kinds is None:
                _check_categories(name, found.categories[name])
        else:
            found.numbers[name] = _numbers(name, values, missing)
    return found


class InputEncoding:
    """Columns to a float32 matrix: numbers, then a 0/1 column per number that is missing somewhere, then categories.

    Missing numbers become the median of their column. Categories become a 0/1 column per value seen in training, where
    a missing value is a category of its own. Unlike `conr.tables.columns.Preprocessor` its whole state is arrays
    and texts, so that a model can be saved without pickling.

    Args:
        scaling: "quantile" (to a normal distribution), "standard" (mean 0, deviation 1) or "none".
        new_categories: what a category that training did not have is: "ignore" makes it all zeros with a warning,
            "error" raises.

    Attributes:
        arrays: fitted arrays by name.
        kinds: columns of the training table.
        indicators: positions of numbers that have a column for being missing.
        categories: values of each category column.

    Raises:
        ValueError: an unknown word.
    """

    def __init__(self, *, scaling: str = "quantile", new_categories: str = "ignore") -> None:
        check_choice("scaling", scaling, SCALINGS)
        check_choice("new_categories", new_categories, NEW_CATEGORIES)
        self.scaling = scaling
        self.new_categories = new_categories
        self.arrays: Arrays = {}
        self.kinds = Kinds([], [])
        self.indicators: list[int] = []
        self.categories: dict[str, list[str]] = {}

    def fit(self, columns: InputColumns) -> Self:
        """Learn medians, scales and categories from the training rows."""
        self.kinds = Kinds(list(columns.numbers), list(columns.categories))
        self.categories = {
            name: sorted({_MISSING if value is None else value for value in values})
            for name, values in columns.categories.items()
        }
        numbers = _matrix(columns)  # (n, p)
        missing = np.isnan(numbers)
        self.indicators = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0)).tolist()
        medians = np.array([np.median(one[~np.isnan(one)]) if not np.isnan(one).all() else 0.0 for one in numbers.T])
        self.arrays = {"medians": medians}
        filled = np.where(missing, medians, numbers)
        if self.scaling == "quantile" and filled.size:
            steps = np.linspace(0, 1, min(_MOST_QUANTILES, len(filled)))
            # Sorted again, as interpolation rounds.
            self.arrays["quantiles"] = np.maximum.accumulate(np.quantile(filled, steps, axis=0), axis=0)
        elif self.scaling == "standard" and filled.size:
            deviations = filled.std(axis=0)
            self.arrays["means"] = filled.mean(axis=0)
            self.arrays["deviations"] = np.where(deviations > 0, deviations, 1.0)
        return self

    def transform(self, columns: InputColumns) -> NDArray[np.float32]:
        """Inputs of rows, shape (n, columns).

        Raises:
            ValueError: a new category, if that is an error.
        """
        numbers = _matrix(columns)  # (n, p)
        missing = np.isnan(numbers)
        parts = [self._scaled(np.where(missing, self.arrays["medians"], numbers)), missing[:, self.indicators]]
        parts += [self._one_hot(name, values) for name, values in columns.categories.items()]
        # What is far beyond the training rows stays finite.
        inputs: NDArray[np.float32] = np.clip(np.concatenate(parts, axis=1), -1e30, 1e30).astype(np.float32)
        return inputs

    def state(self) -> dict[str, Any]:
        """All that is not an array, as JSON holds it."""
        return {
            "scaling": self.scaling,
            "new_categories": self.new_categories,
            "numbers": self.kinds.numbers,
            "indicators": self.indicators,
            "categories": self.categories,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> Self:
        """The encoding that `state` and its arrays describe.

        Raises:
            ValueError: texts, positions or arrays that do not fit together.
            KeyError: a part is missing.
        """
        encoding = cls(scaling=state["scaling"], new_categories=state["new_categories"])
        numbers, categories, indicators = state["numbers"], state["categories"], state["indicators"]
        if not _is_list_of(str, numbers) or not all(_is_list_of(str, values) for values in categories.values()):
            raise ValueError("encoding: expected lists of texts for numbers and categories")
        if not _is_list_of(int, indicators) or not all(0 <= one < len(numbers) for one in indicators):
            raise ValueError(f"encoding: expected positions in {len(numbers)} numbers, got {indicators!r:.80}")
        for name, values in arrays.items():
            if values.shape[-1:] != (len(numbers),) or values.ndim != (2 if name == "quantiles" else 1):
                raise ValueError(f"encoding: {name}: expected one per each of {len(numbers)} numbers")
        if {"standard": "means", "quantile": "quantiles"}.get(encoding.scaling, "medians") not in arrays and numbers:
            raise ValueError(f"encoding: expected the arrays of scaling {encoding.scaling!r}, got {sorted(arrays)}")
        if (arrays.get("deviations", np.ones(1)) <= 0).any():
            raise ValueError("encoding: deviations: expected positive numbers")
        encoding.kinds = Kinds(list(numbers), list(categories))
        encoding.indicators = list(indicators)
        encoding.categories = {name: list(values) for name, values in categories.items()}
        encoding.arrays = dict(arrays)
        return encoding

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        if "means" in self.arrays:
            return (numbers - self.arrays["means"]) / self.arrays["deviations"]
        if "quantiles" not in self.arrays:
            return numbers
        scaled = [_normal(one, quantiles) for one, quantiles in zip(numbers.T, self.arrays["quantiles"].T, strict=True)]
        return np.stack(scaled, axis=1)

    def _one_hot(self, name: str, values: NDArray[Any]) -> NDArray[np.float64]:
        known = {value: position for position, value in enumerate(self.categories[name])}
        columns = np.zeros((len(values), len(known)))
        new = []
        for row, value in enumerate(values):
            position = known.get(_MISSING if value is None else value)
            if position is not None:
                columns[row, position] = 1
            elif value is not None:
                new.append(value)
        if new:
            some = ", ".join(map(repr, self.categories[name][:5])) + (", ..." if len(known) > 5 else "")
            message = (
                f"column {name!r}: expected a category seen in training ({some}), got {new[0]!r}"
                f"{f' and {len(new) - 1} more' if len(new) > 1 else ''}"
            )
            if self.new_categories == "error":
                raise ValueError(f"{message}; new_categories='ignore' takes it as none of them")
            warnings.warn(f"{message}: taken as none of them", stacklevel=2)
        return columns


def _is_list_of(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


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


def _is_category(name: str, column: Any, values: NDArray[Any], missing: NDArray[np.bool_]) -> bool:
    if _is_categorical(column) or values.dtype.kind in "US":
        return True
    if values.dtype.kind in "Mm":
        raise ValueError(f"column {name!r}: expected numbers or categories, got dates: derive numbers first")
    if values.dtype.kind == "O":
        present = values[~missing]
        wrong = next((value for value in present if not isinstance(value, Real | str | np.bool_)), None)
        if wrong is not None:
            raise TypeError(
                f"column {name!r}: argument must be a string or a real number, got {type(wrong).__name__} {wrong!r:.40}"
            )
        return any(isinstance(value, str) for value in present)
    return False


def _numbers(name: str, values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    numbers = np.full(len(values), np.nan)
    for row in np.flatnonzero(~missing) if values.dtype.kind not in "fiub" else ():
        try:
            numbers[row] = float(values[row])
        except (TypeError, ValueError):
            raise ValueError(f"column {name!r}: expected numbers, got {values[row]!r} in row {row}") from None
    if values.dtype.kind in "fiub":
        numbers[~missing] = values[~missing]
    if np.isinf(numbers).any():
        raise ValueError(f"column {name!r}: expected finite numbers, got inf in row {np.isinf(numbers).argmax()}")
    return numbers


def _texts(values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    texts = np.empty(len(values), dtype=object)
    # A whole number is the same category as integer and as float.
    texts[:] = [
        None if gone else str(value).removesuffix(".0") for value, gone in zip(values.tolist(), missing, strict=True)
    ]
    return texts


def _check_categories(name: str, texts: NDArray[Any]) -> None:
    count = len({text for text in texts if text is not None})
    if count > _MOST_CATEGORIES:
        raise ValueError(
            f"column {name!r}: expected numbers or at most {_MOST_CATEGORIES} categories, got {count} different texts"
        )


def _matrix(columns: InputColumns) -> NDArray[np.float64]:
    rows = len(next(iter({**columns.numbers, **columns.categories}.values())))
    return np.stack(list(columns.numbers.values()), axis=1) if columns.numbers else np.empty((rows, 0))


def _normal(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal distribution's quantile of the share of training values below each value."""
    shares = np.linspace(0, 1, len(quantiles))
    # From both sides, so that a value that comes often gets the middle of its shares.
    low = np.interp(values, quantiles, shares)
    high = -np.interp(-values, -quantiles[::-1], -shares[::-1])
    middle = np.clip((low + high) / 2, _EDGE, 1 - _EDGE)
    normal: NDArray[np.float64] = torch.special.ndtri(torch.from_numpy(middle)).numpy()
    return normal
