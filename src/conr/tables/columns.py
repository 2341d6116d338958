"""The inputs of a table: which columns are numbers and which are categories, and how they become a matrix."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conr._checks import check_choice
from conr.tables.bad_rows import BadRows
from conr.tables.files import Column, RawTable, parse_numbers

ENCODINGS = ("onehot", "ordinal")
SCALINGS = ("standard", "quantile", "none")
IMPUTATIONS = ("median", "mean", "most_frequent")

MOST_CATEGORIES = 100


class InputColumns(NamedTuple):
    """The inputs of all rows before anything is fitted.

    Attributes:
        numbers: by name, float64, shape (n,) each, NaN for what is missing.
        categories: by name, strings, shape (n,) each, None for what is missing.
        unusable: by name, what is wrong with a column that is neither.
    """

    numbers: dict[str, NDArray[np.float64]]
    categories: dict[str, Column]
    unusable: dict[str, str]

    def take(self, rows: NDArray[Any]) -> "InputColumns":
        """Some of the rows."""
        return InputColumns(
            {name: values[rows] for name, values in self.numbers.items()},
            {name: values[rows] for name, values in self.categories.items()},
            self.unusable,
        )

    def check(self, path: Path, *, skip: bool) -> None:
        """Require usable columns only; with ``skip`` leave the others out with a warning that counts them.

        Args:
            path: the file, as messages name it.
            skip: see above.

        Raises:
            ValueError: an unusable column, or no column is left; the message names the file and the column.
        """
        total = len(self.numbers) + len(self.categories) + len(self.unusable)
        if total == 0:
            raise ValueError(f"{path}: expected columns beside the target, got none")
        if not self.unusable:
            return
        first, problem = next(iter(self.unusable.items()))
        if not skip:
            raise ValueError(
                f"{path}, column {first!r}: {problem} (ignore leaves a column out, skip_bad all such columns)"
            )
        if len(self.unusable) == total:
            raise ValueError(f"{path}: expected usable columns, got none of {total}; the first is {first!r}: {problem}")
        left_out = f"{len(self.unusable)} of {total} columns left out"
        warnings.warn(f"{path}: {left_out}; the first is {first!r}: {problem}", stacklevel=2)


def input_columns(
    table: RawTable, names: Sequence[str], bad: BadRows, *, categorical: Sequence[str] = ()
) -> InputColumns:
    """Sort columns into numbers and categories.

    A column is one of numbers if more than half of its values are numbers, and one of categories otherwise or if
    ``categorical`` names it. A column without any value, or with more than a hundred categories, is unusable.

    Args:
        table: content of the file.
        names: of the columns that are inputs.
        bad: told of each text among numbers, and of each infinite number.
        categorical: columns that are categories, whatever they hold.

    Raises:
        ValueError: from ``bad``.
    """
    found = InputColumns({}, {}, {})
    for name in names:
        column = table.columns[table.names.index(name)]
        numbers, wrong = parse_numbers(column)
        present = len(column) - _missing(column)
        if present == 0:
            found.unusable[name] = "expected values, got none in any row"
        elif name not in categorical and len(wrong) < 0.5 * present:
            _report_wrong_numbers(table, name, (numbers, wrong), bad)
            found.numbers[name] = numbers
        else:
            texts = _as_texts(column)
            distinct = {text for text in texts if text is not None}
            if len(distinct) > MOST_CATEGORIES:
                found.unusable[name] = (
                    f"expected numbers or at most {MOST_CATEGORIES} categories, got {len(distinct)} different texts "
                    f"such as {min(distinct)!r}"
                )
            else:
                found.categories[name] = texts
    return found


def same_columns(path: Path, table: RawTable, like: InputColumns, bad: BadRows) -> InputColumns:
    """The columns of another table, of the same kinds as those of the first.

    Args:
        path: the other file, as messages name it.
        table: its content.
        like: columns of the first table.
        bad: told of each text among numbers, and of each infinite number.

    Raises:
        ValueError: a column is not there.
    """
    missing = [name for name in (*like.numbers, *like.categories) if name not in table.names]
    if missing:
        raise ValueError(f"{path}: expected the columns of the training file, found no {', '.join(map(repr, missing))}")
    found = InputColumns({}, {}, {})
    for name in like.numbers:
        parsed = parse_numbers(table.columns[table.names.index(name)])
        _report_wrong_numbers(table, name, parsed, bad)
        found.numbers[name] = parsed[0]
    for name in like.categories:
        found.categories[name] = _as_texts(table.columns[table.names.index(name)])
    return found


def _report_wrong_numbers(
    table: RawTable, name: str, parsed: tuple[NDArray[np.float64], list[int]], bad: BadRows
) -> None:
    numbers, wrong = parsed
    column = table.columns[table.names.index(name)]
    for position in wrong:
        bad.add(int(table.row_numbers[position]), f"column {name!r}: expected a number, got {column[position]!r}")
    for position in np.flatnonzero(np.isinf(numbers)).tolist():
        bad.add(int(table.row_numbers[position]), f"column {name!r}: expected a finite number, got {numbers[position]}")


def _missing(column: Column) -> int:
    return int(np.isnan(column).sum()) if column.dtype != object else sum(value is None for value in column)


def _as_texts(column: Column) -> Column:
    if column.dtype == object:
        return column
    texts = np.empty(len(column), dtype=object)
    # As a CSV file has them: 3, not 3.0.
    texts[:] = [None if np.isnan(value) else str(value).removesuffix(".0") for value in column.tolist()]
    return texts


class Preprocessor:
    """Columns to a float32 matrix by scikit-learn's transformers, fitted on the training rows.

    Numbers are imputed and scaled. Categories are one column per value ("onehot"), where a missing value is a category
    of its own and one that was not in training is all zeros, or their position in alphabetical order, scaled
    ("ordinal"), where one that was not in training comes before the first.

    Args:
        encoding: "onehot" or "ordinal".
        imputation: what stands for a missing number: "median", "mean" or "most_frequent" of the column.
        scaling: "standard" (mean 0, deviation 1), "quantile" (to a normal distribution) or "none".

    Raises:
        ValueError: an unknown word.
    """

    def __init__(self, *, encoding: str = "onehot", imputation: str = "median", scaling: str = "standard") -> None:
        check_choice("categories", encoding, ENCODINGS)
        check_choice("imputation", imputation, IMPUTATIONS)
        check_choice("scaling", scaling, SCALINGS)
        self.encoding = encoding
        self.imputation = imputation
        self.scaling = scaling
        self._steps: list[Any] = []

    def fit(self, inputs: InputColumns) -> Self:
        """Fit on the training rows."""
        from sklearn.impute import SimpleImputer  # noqa: PLC0415  takes a second to load
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415
        from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder  # noqa: PLC0415

        rows = len(next(iter({**inputs.numbers, **inputs.categories}.values())))
        # A column that has no value in these rows becomes 0 and stays, so that the width is that of the table.
        numeric = make_pipeline(SimpleImputer(strategy=self.imputation, keep_empty_features=True), self._scaler(rows))
        fill = SimpleImputer(missing_values=None, strategy="constant", fill_value="(missing)", keep_empty_features=True)
        if self.encoding == "onehot":
            categorical = make_pipeline(fill, OneHotEncoder(handle_unknown="ignore", sparse_output=False))
        else:
            ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
            categorical = make_pipeline(fill, ordinal, self._scaler(rows))
        self._steps = [numeric, categorical]
        for step, matrix in zip(self._steps, _matrices(inputs), strict=True):
            if matrix.shape[1]:
                step.fit(matrix)
        return self

    def transform(self, inputs: InputColumns) -> Tensor:
        """Inputs of rows, shape (n, columns), numbers first."""
        parts = [
            step.transform(matrix)
            for step, matrix in zip(self._steps, _matrices(inputs), strict=True)
            if matrix.shape[1]
        ]
        return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))

    def _scaler(self, rows: int) -> Any:
        from sklearn.preprocessing import QuantileTransformer, StandardScaler  # noqa: PLC0415

        if self.scaling == "standard":
            return StandardScaler()
        if self.scaling == "quantile":
            return QuantileTransformer(n_quantiles=min(1000, rows), output_distribution="normal", random_state=0)
        return "passthrough"


def _matrices(inputs: InputColumns) -> tuple[NDArray[Any], NDArray[Any]]:
    numbers, categories = list(inputs.numbers.values()), list(inputs.categories.values())
    return (
        np.stack(numbers, axis=1) if numbers else np.empty((0, 0)),
        np.stack(categories, axis=1) if categories else np.empty((0, 0), dtype=object),
    )
