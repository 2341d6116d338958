"""Columns of a table as the matrix of numbers that networks take."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice
from conr.tables.columns import CATEGORY, Columns, Kind
from conr.tables.dates import PARTS, date_numbers

SCALINGS = ("quantile", "standard", "robust", "none")
IMPUTATIONS = ("median", "mean", "most_frequent")
CATEGORIES = ("onehot", "ordinal")

Arrays = dict[str, NDArray[np.float64]]

_MISSING = "(missing)"
_MOST_QUANTILES = 1000
_MOST = 1e30  # of an input
_ROBUST_END = 4.0  # deviations that no number lies beyond after "robust"
_QUARTILE = 0.6745  # of the standard normal distribution
_PERCENTILE = 2.3263  # the first and the last percentile of the normal distribution lie this far from its middle
_EDGE = 1e-7  # as far as a quantile goes into the tails of the normal distribution: 5.2 deviations


class Encoding:
    r"""Columns to a float32 matrix: numbers, then a 0/1 column per number that is missing somewhere, then categories.

    A date is four numbers: year, month, day of the week, and days since the first date.

    All of it is fitted on the training rows. Missing numbers are filled in, numbers are scaled. Categories become a 0/1
    column per value seen in training ("onehot"), where a missing value is a category of its own and a value that was
    not in training is all zeros; or their place in alphabetical order, scaled as a number ("ordinal"), where a value
    that was not in training comes before the first.

    Its whole state is arrays and texts, so that a model is saved without a pickle. That is why scikit-learn's
    transformers do not stand here: putting their fitted state back means to set private attributes. Its
    `QuantileTransformer` also sends the least and the greatest value to the ends of the normal distribution, five
    deviations off, where here a value that comes often gets the middle of its share.

    Args:
        scaling: "quantile" (to a normal distribution), "standard" (mean 0, deviation 1), "robust" or "none". Robust is
            $z / \sqrt{1 + (z / 4)^2}$ of deviations z from the median, where the deviation is the quartile range over
            that of the normal distribution, but at least a quarter of the same for the range from the first to the
            last percentile, so that a second group of values stays apart (the standard deviation if the quartiles are
            one number): nearly linear among most rows, and no value is further than 4 from the middle. After
            Holzmüller et al., "Better by Default", NeurIPS 2024, who divide by the range and have 3.
        imputation: what stands for a missing number: "median", "mean" or "most_frequent" of its column.
        categories: "onehot" or "ordinal".

    Attributes:
        kinds: of the training columns by name, as `Columns.kinds`.
        known: values of each category column.
        indicators: positions of the numbers that have a column for being missing.
        arrays: fitted arrays by name.

    Raises:
        ValueError: an unknown word.
    """

    def __init__(self, *, scaling: str = "robust", imputation: str = "median", categories: str = "onehot") -> None:
        check_choice("scaling", scaling, SCALINGS)
        check_choice("imputation", imputation, IMPUTATIONS)
        check_choice("categories", categories, CATEGORIES)
        self.scaling = scaling
        self.imputation = imputation
        self.categories = categories
        self.kinds: dict[str, Kind] = {}
        self.known: dict[str, list[str]] = {}
        self.indicators: list[int] = []
        self.arrays: Arrays = {}

    def fit(self, columns: Columns) -> Self:
        """Learn fillings, scales and categories from the training rows."""
        self.kinds = columns.kinds
        self.arrays = {}
        self.known = {
            name: sorted({_MISSING if value is None else value for value in columns.values[name]})
            for name, kind in self.kinds.items()
            if kind == CATEGORY
        }
        numbers = self.numbers(columns)  # (n, p)
        self.arrays["origin"] = self._origin(numbers)
        numbers = numbers - self.arrays["origin"]
        gone = np.isnan(numbers)
        self.indicators = np.flatnonzero(gone.any(axis=0) & ~gone.all(axis=0)).tolist()
        # A column that has no value in these rows becomes 0 and stays, so that the width is that of the table.
        fill = np.array([self._filling(one[~np.isnan(one)]) for one in numbers.T])
        self.arrays["fill"] = fill
        filled = np.where(gone, fill, numbers)
        if self.scaling == "quantile" and filled.size:
            steps = np.linspace(0, 1, min(_MOST_QUANTILES, len(filled)))
            # Sorted again, as interpolation rounds.
            self.arrays["quantiles"] = np.maximum.accumulate(np.quantile(filled, steps, axis=0), axis=0)
        elif self.scaling == "standard" and filled.size:
            deviations = _deviations(filled)
            self.arrays["means"] = filled.mean(axis=0)
            self.arrays["deviations"] = np.where(deviations > 0, deviations, 1.0)
        elif self.scaling == "robust" and filled.size:
            present = [one[~np.isnan(one)] if not np.isnan(one).all() else np.zeros(1) for one in numbers.T]
            deviations = np.array([_robust_deviation(one) for one in present])
            self.arrays["means"] = np.array([np.median(one) for one in present])
            self.arrays["deviations"] = np.where(deviations > 0, deviations, 1.0)
        return self

    def transform(self, columns: Columns) -> NDArray[np.float32]:
        """Inputs of rows, shape (n, width); it changes nothing here."""
        numbers = self.numbers(columns) - self.arrays["origin"]  # (n, p)
        gone = np.isnan(numbers)
        parts = [self._scaled(np.where(gone, self.arrays["fill"], numbers)), gone[:, self.indicators]]
        if self.categories == "onehot":
            # A code of -1, of no known value, picks the row of zeros at the end.
            parts += [
                np.eye(len(known) + 1, len(known))[self._codes(name, columns)] for name, known in self.known.items()
            ]
        # Whatever lies far beyond the training rows stays finite.
        inputs: NDArray[np.float32] = np.clip(np.concatenate(parts, axis=1), -_MOST, _MOST).astype(np.float32)
        return inputs

    def numbers(self, columns: Columns) -> NDArray[np.float64]:
        """Numbers as they are, NaN where missing, those of dates, and codes of ordinal categories, shape (n, p)."""
        found = [np.empty((len(columns), 0))]
        for name, kind in self.kinds.items():
            values = columns.values[name]
            if kind.name == "date":
                found.append(date_numbers(values))
            elif kind.name == "number":
                found.append(values[:, None])
            elif self.categories == "ordinal":
                found.append(self._codes(name, columns)[:, None].astype(np.float64))
        return np.concatenate(found, axis=1)

    def width_of(self, kind: Kind) -> int:
        """Columns of `numbers` for one of a kind: one for a number, four for a date, one for ordinal categories."""
        return {"number": 1, "date": len(PARTS), "category": int(self.categories == "ordinal")}[kind.name]

    def unknown(self, columns: Columns) -> list[str]:
        """Sentences about the values of category columns that training did not have, one per column that has some."""
        found = []
        for name, known in self.known.items():
            values = columns.values[name]
            new = [row for row in np.flatnonzero(self._codes(name, columns) < 0) if values[row] is not None]
            if new:
                some = ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")
                rows = ", ".join(str(columns.rows[row]) for row in new[:5]) + (", ..." if len(new) > 5 else "")
                found.append(
                    f"column {name!r}: expected a category seen in training ({some}), got {values[new[0]]!r}"
                    f"{f' and {len(new) - 1} more' if len(new) > 1 else ''} (row{'s' if len(new) > 1 else ''} {rows})"
                )
        return found

    def state(self) -> dict[str, Any]:
        """All that is not an array, as JSON holds it."""
        names = ("scaling", "imputation", "categories", "known", "indicators")
        kinds = {name: kind.state() for name, kind in self.kinds.items()}
        return {name: getattr(self, name) for name in names} | {"kinds": kinds}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> Self:
        """The encoding that `state` and its arrays describe.

        Raises:
            ValueError: texts, positions or arrays that do not fit together.
            KeyError: a part is missing.
        """
        encoding = cls(scaling=state["scaling"], imputation=state["imputation"], categories=state["categories"])
        kinds, known, indicators = state["kinds"], state["known"], state["indicators"]
        encoding.kinds = {name: Kind.from_state(kind) for name, kind in kinds.items()}
        if list(known) != [name for name, kind in encoding.kinds.items() if kind == CATEGORY]:
            raise ValueError(f"encoding: expected the values of the categories, got those of {list(known)!r:.200}")
        if not all(_is_list_of(str, values) for values in known.values()):
            raise ValueError("encoding: expected lists of texts for categories")
        encoding.known = {name: list(values) for name, values in known.items()}
        width = encoding._width()
        if not _is_list_of(int, indicators) or not all(0 <= one < width for one in indicators):
            raise ValueError(f"encoding: expected positions in {width} numbers, got {indicators!r:.80}")
        encoding.indicators = list(indicators)
        for name, values in arrays.items():
            if values.shape[-1:] != (width,) or values.ndim != (2 if name == "quantiles" else 1):
                raise ValueError(f"encoding: {name}: expected one per each of {width} numbers")
        moments = ("means", "deviations")
        needed = {"standard": moments, "robust": moments, "quantile": ("quantiles",)}.get(encoding.scaling, ())
        if arrays.keys() != {"origin", "fill", *(needed if width else ())}:
            raise ValueError(f"encoding: expected the arrays of scaling {encoding.scaling!r}, got {sorted(arrays)}")
        if (arrays.get("deviations", np.ones(1)) <= 0).any():
            raise ValueError("encoding: deviations: expected positive numbers")
        encoding.arrays = dict(arrays)
        return encoding

    def _width(self) -> int:
        """Columns that are scaled."""
        return sum(self.width_of(kind) for kind in self.kinds.values())

    def _origin(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """The first day of each column of dates, 0 for other numbers, shape (p,)."""
        origin = np.zeros(numbers.shape[1])
        position = 0
        for kind in self.kinds.values():
            if kind.name == "date":
                position += len(PARTS)
                days = numbers[:, position - 1]
                origin[position - 1] = 0.0 if np.isnan(days).all() else np.nanmin(days)
            elif kind.name == "number" or self.categories == "ordinal":
                position += 1
        return origin

    def _codes(self, name: str, columns: Columns) -> NDArray[np.int64]:
        """Position of each value among the known ones, shape (n,); -1 for others."""
        position = {value: code for code, value in enumerate(self.known[name])}
        values = (position.get(_MISSING if value is None else value, -1) for value in columns.values[name])
        return np.fromiter(values, dtype=np.int64, count=len(columns))

    def _filling(self, present: NDArray[np.float64]) -> float:
        if len(present) == 0:
            return 0.0
        if self.imputation == "most_frequent":
            values, counts = np.unique(present, return_counts=True)
            return float(values[counts.argmax()])
        return float(np.median(present) if self.imputation == "median" else present.mean())

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        if "means" in self.arrays:
            scaled = ((numbers - self.arrays["means"]) / self.arrays["deviations"]).clip(-_MOST, _MOST)
            return scaled / np.hypot(1, scaled / _ROBUST_END) if self.scaling == "robust" else scaled
        if "quantiles" not in self.arrays:
            return numbers
        columns = [
            _normal(one, quantiles) for one, quantiles in zip(numbers.T, self.arrays["quantiles"].T, strict=True)
        ]
        return np.stack(columns, axis=1)


def _robust_deviation(values: NDArray[np.float64]) -> float:
    """Of values (n,): by their quartiles, by their outer percentiles if these lie far out, else the standard one."""
    unit = _unit(np.abs(values).max())
    outer, low, high, end = np.quantile(values / unit, (0.01, 0.25, 0.75, 0.99))
    if high == low:
        return float(_deviations(values[:, None])[0])
    return float(max((high - low) / (2 * _QUARTILE), (end - outer) / (2 * _PERCENTILE * _ROBUST_END)) * unit)


def _deviations(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of each column of (n, p); squares of the largest numbers would be infinite."""
    unit = _unit(np.abs(numbers).max(axis=0))  # (p,)
    deviations: NDArray[np.float64] = (numbers / unit).std(axis=0) * unit
    return deviations


def _unit(largest: Any) -> Any:
    """Divisor of numbers this large, whose squares or differences would not be finite; else 1."""
    return np.where((largest > 1e-100) & (largest < 1e100), 1.0, np.where(largest > 0, largest, 1.0))


def _is_list_of(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _normal(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal distribution's quantile of the share of training values below each value."""
    import torch  # noqa: PLC0415  for its inverse of the normal distribution; SciPy is optional

    shares = np.linspace(0, 1, len(quantiles))
    # From both sides, so that a value that comes often gets the middle of its shares.
    low = np.interp(values, quantiles, shares)
    high = -np.interp(-values, -quantiles[::-1], -shares[::-1])
    middle = np.clip((low + high) / 2, _EDGE, 1 - _EDGE)
    normal: NDArray[np.float64] = torch.special.ndtri(torch.from_numpy(middle)).numpy()
    return normal
