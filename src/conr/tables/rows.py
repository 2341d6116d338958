"""Rows of a file as the estimator takes them: columns of the same names and kinds as in training."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conr.data.table import column_name, label_column, usable_rows
from conr.tables.bad_rows import BadRows
from conr.tables.columns import InputColumns, same_columns
from conr.tables.files import read_table


@dataclass(frozen=True)
class FileFormat:
    """How a CSV file is written; what is None is detected.

    Args:
        header: whether the first row holds the names of the columns.
        separator: "comma", "semicolon", "tab", "bar" or "space".
        encoding: such as "utf-8" or "latin-1".
        decimal: "." or ",".
    """

    header: bool = True
    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None

    def options(self) -> dict[str, Any]:
        """As `conr.data.Table` takes them."""
        return asdict(self)


class Rows(NamedTuple):
    """Rows of a file.

    Attributes:
        inputs: n rows, a column per input.
        labels: shape (n, k), float64; None if they were not asked for.
        numbers: of each row in the file as a person counts, shape (n,).
    """

    inputs: pd.DataFrame
    labels: NDArray[np.float64] | None
    numbers: NDArray[np.int64]


def data_frame(columns: InputColumns) -> pd.DataFrame:
    """Numbers as float64 and categories as texts with None for what is missing."""
    texts = {name: pd.Series(values, dtype=object) for name, values in columns.categories.items()}
    return pd.DataFrame({**columns.numbers, **texts})


def read_rows(
    path: Path,
    *,
    numbers: list[str],
    categories: list[str],
    targets: list[str] | None = None,
    file_format: FileFormat | None = None,
    skip_bad: bool = False,
) -> Rows:
    """Read rows with the columns of a training file, in any order and among others.

    Args:
        path: a CSV or Parquet file.
        numbers: columns of numbers.
        categories: columns of categories.
        targets: columns of labels; not read if None.
        file_format: how the file is written.
        skip_bad: leave out rows that cannot be used, with a warning that counts them, instead of raising at the first.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is not there; a text or an infinite number among numbers; a label that is no finite number.
    """
    bad = BadRows(path, skip=skip_bad)
    table = read_table(path, bad, **(file_format or FileFormat()).options())
    like = InputColumns(dict.fromkeys(numbers, np.empty(0)), dict.fromkeys(categories, np.empty(0)), {})
    columns = same_columns(path, table, like, bad)
    labels = None
    if targets is not None:
        found = [column_name(path, table.names, "target", name) for name in targets]
        labels = np.stack([label_column(path, table, name, bad) for name in found], axis=1)  # (n, k)
    keep = usable_rows(table, bad)
    return Rows(data_frame(columns.take(keep)), None if labels is None else labels[keep], table.row_numbers[keep])
