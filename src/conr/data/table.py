"""Any table: a CSV or Parquet file with one target column, or several."""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from conr._checks import check_number
from conr._extras import require
from conr.data.cards import DatasetCard
from conr.data.module import ArrayDataset, RegressionData, Splits
from conr.data.protocols import Protocol
from conr.density import Bins
from conr.density.default_bins import label_bins
from conr.density.splits import SPLITS, Rows, balanced_split
from conr.tables.bad_rows import BadRows, check_splits_are_filled
from conr.tables.columns import InputColumns, Preprocessor, input_columns, same_columns
from conr.tables.files import RawTable, parse_numbers, read_table

MOST_NAMES = 20


class Table(RegressionData):
    """A CSV or Parquet file: some columns are the label, the others the inputs.

    Separator, encoding and decimal mark of a CSV file are detected. Missing numbers are imputed, categories become
    columns, numbers are scaled, all by scikit-learn's transformers fitted on the training rows; the label stays as it
    is. Validation and test are balanced (`balanced_split`) unless a column says which row belongs where. Inputs have
    shape (columns,), labels are one number, or k with several targets.

    Args:
        path: the file.
        target: column of the label, by name or position (from 0, or from -1 at the end); several make labels (n, k).
        ignore: columns that are no inputs, by name or position.
        categorical: columns that are categories although they hold numbers, by name or position. All columns that are
            mostly text are.
        split_column: column with "train", "val" or "test", by name or position; balanced splits if None.
        header: whether the first row of a CSV file holds the names of the columns.
        separator: of a CSV file: "comma", "semicolon", "tab", "bar" or "space"; detected if None.
        encoding: of a CSV file; detected if None.
        decimal: decimal mark of a CSV file, "." or ","; detected if None.
        categories: "onehot": a column per category, or "ordinal": one column with the category's place in the alphabet.
        imputation: what stands for a missing number: "median", "mean" or "most_frequent" of its column. A missing
            category is a category of its own.
        scaling: "standard" (mean 0, deviation 1), "quantile" (to a normal distribution) or "none".
        bin_width: width of the label bins, in label units, one number or one per target; see `label_bins`.
        bin_count: number of label bins per target, of equal width; not together with ``bin_width``.
        most: rows of a bin in val, and in test; by default so many that each gets about a tenth of all rows.
        predict_path: file whose rows ``conr predict`` takes instead of the test split; it needs no target.
        label_unit: for tables and pictures.
        many: see `RegressionData`.
        few: see `RegressionData`.
        skip_bad: leave out rows and columns that cannot be used, with a warning that counts them, instead of raising at
            the first.
        data_seed: seed of the split.
        batch_size: rows per batch.
        num_workers: processes that load batches.

    Raises:
        ValueError: no target, or an unknown word; from `load`, a file, row or column that cannot be used.
    """

    name = "table"
    label_name = "label"
    card = DatasetCard(
        summary="A CSV or Parquet file of yours: numbers and categories in, one or several numbers out.",
        source="your own",
        licence="yours",
        layout={"path": "the file, with a target column; separator, encoding and decimal mark are detected"},
    )

    def __init__(
        self,
        *,
        path: str,
        target: int | str | Sequence[int | str],
        ignore: Sequence[int | str] = (),
        categorical: Sequence[int | str] = (),
        split_column: int | str | None = None,
        header: bool = True,
        separator: str | None = None,
        encoding: str | None = None,
        decimal: str | None = None,
        categories: str = "onehot",
        imputation: str = "median",
        scaling: str = "standard",
        bin_width: float | Sequence[float] | None = None,
        bin_count: int | None = None,
        most: int | None = None,
        predict_path: str | None = None,
        label_unit: str = "",
        many: int = 100,
        few: int = 20,
        skip_bad: bool = False,
        data_seed: int = 0,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_number("data_seed", data_seed, low=0)
        check_number("few", few, low=0)
        check_number("many", many, low=few)
        if most is not None:
            check_number("most", most, low=1)
        self.path = Path(path)
        self.targets = [target] if isinstance(target, int | str) else list(target)
        if not self.targets:
            raise ValueError("target: expected the name or position of a column, got none")
        self.ignore = list(ignore)
        self.categorical = list(categorical)
        self.split_column = split_column
        self._dialect: dict[str, Any] = {
            "header": header,
            "separator": separator,
            "encoding": encoding,
            "decimal": decimal,
        }
        self.preprocessor = Preprocessor(encoding=categories, imputation=imputation, scaling=scaling)
        self.bin_width = bin_width
        self.bin_count = bin_count
        self.most = most
        self.predict_path = None if predict_path is None else Path(predict_path)
        self.many = many
        self.few = few
        self.skip_bad = skip_bad
        self.data_seed = data_seed
        self.name = f"table-{self.path.stem}"
        self.label_name = ", ".join(map(str, self.targets))
        self.label_unit = label_unit
        self._columns: InputColumns | None = None
        self._raw: RawTable | None = None

    def load(self) -> Splits:
        """Read and split the table.

        Raises:
            FileNotFoundError: no such file.
            ValueError: something in it cannot be used; the message names the file and the row or column.
            ImportError: a Parquet file, and pyarrow is not installed.
        """
        return self._load(self._own_rows)

    def load_with(self, protocol: Protocol) -> Splits:
        """Read the table and split it by a protocol, whose training rows the transformers are fitted on.

        Raises:
            ValueError: as `load`, and as `conr.data.Protocol.rows`.
        """
        return self._load(lambda content: protocol.rows(content.labels, content.bins))

    def problems(self) -> list[str]:
        """Everything that is wrong with the file, one sentence each; empty if all is well."""
        if self.skip_bad or not self.path.is_file():
            return super().problems()
        bad = BadRows(self.path, skip=True)
        found = []
        try:
            inputs = self._read(bad).inputs
            found = [f"{self.path}, column {name!r}: {problem}" for name, problem in inputs.unusable.items()]
        except (ValueError, OSError) as error:
            if not bad.problems:
                return [str(error)]
        found += [f"{self.path}, row {row}: {bad.problems[row]}" for row in sorted(bad.problems)]
        return found or super().problems()

    def sample_values(self, sample: str) -> dict[str, str]:
        """The row of the file that a sample comes from, column by column.

        Raises:
            FileNotFoundError, ValueError: as `load`, of a file that is gone or no table.
        """
        if self._raw is None:
            self._raw = read_table(self.path, BadRows(self.path, skip=True), **self._dialect)
        (row,) = np.flatnonzero(self._raw.row_numbers == int(sample.removeprefix("row-")))
        values = (column[row] for column in self._raw.columns)
        return {
            name: f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in zip(self._raw.names, values, strict=True)
        }

    def count_rows(self) -> int:
        """Rows of the file that have the right number of fields.

        Raises:
            FileNotFoundError, ValueError: as `load`, of a file that is no table.
        """
        return len(read_table(self.path, BadRows(self.path, skip=True), **self._dialect).row_numbers)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the rows to predict, in order: those of ``predict_path``, else the test split.

        Raises:
            FileNotFoundError, ValueError: as `load`; ``predict_path`` lacks a column.
        """
        if self.predict_path is None:
            return super().predict_dataloader()
        self.setup("predict")  # fits the transformers
        assert self._columns is not None  # noqa: S101  load has set it
        bad = BadRows(self.predict_path, skip=self.skip_bad)
        table = read_table(self.predict_path, bad, **self._dialect)
        columns = same_columns(self.predict_path, table, self._columns, bad)
        keep = usable_rows(table, bad)
        inputs = self.preprocessor.transform(columns.take(keep))
        return DataLoader(_Unlabelled(inputs, _ids(table.row_numbers[keep])), batch_size=self.batch_size)

    def _load(self, split_rows: "Callable[[TableContent], dict[str, Rows]]") -> Splits:
        require("conr.data.Table", "sklearn")
        content = self.content()
        try:
            rows = split_rows(content)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        self._columns = content.inputs
        self.label_name = ", ".join(content.targets)
        self.preprocessor.fit(content.inputs.take(rows["train"]))
        inputs = self.preprocessor.transform(content.inputs)  # (n, columns)
        datasets = {
            split: ArrayDataset(
                inputs[rows[split]], content.labels[rows[split]], _ids(content.row_numbers[rows[split]])
            )
            for split in SPLITS
        }
        return Splits(**datasets, bins=content.bins)

    def _own_rows(self, content: "TableContent") -> dict[str, Rows]:
        if content.split_of_row is not None:
            return {split: np.flatnonzero(content.split_of_row == split) for split in SPLITS}
        most = self.most
        if most is None:
            occupied = len(content.bins.index(content.labels).bincount().nonzero())
            most = max(1, round(0.1 * len(content.labels) / occupied))
        return balanced_split(content.labels, content.bins, most=most, seed=self.data_seed)

    def _read(self, bad: BadRows) -> "_Read":
        table = read_table(self.path, bad, **self._dialect)
        targets = self._names(table, "target", self.targets)
        splits = [] if self.split_column is None else self._names(table, "split_column", [self.split_column])
        others = (*targets, *splits, *self._names(table, "ignore", self.ignore))
        inputs = input_columns(
            table,
            [name for name in table.names if name not in others],
            bad,
            categorical=self._names(table, "categorical", self.categorical),
        )
        labels = np.stack([label_column(self.path, table, name, bad) for name in targets], axis=1)  # (n, k)
        split_of_row = _split_of_row(table, splits[0], bad) if splits else None
        return _Read(table, targets, inputs, labels, split_of_row)

    def content(self) -> "TableContent":
        """What the file holds, before it is split and prepared.

        Raises:
            FileNotFoundError, ValueError, ImportError: as `load`.
        """
        bad = BadRows(self.path, skip=self.skip_bad)
        table, targets, inputs, labels, split_of_row = self._read(bad)
        inputs.check(self.path, skip=self.skip_bad)
        keep = usable_rows(table, bad)
        labels = labels[keep]
        for name, column in zip(targets, labels.T, strict=True):
            _check_labels(f"{self.path}, column {name!r}", column)
        if split_of_row is not None:
            split_of_row = split_of_row[keep]
            check_splits_are_filled(self.path, {split: int((split_of_row == split).sum()) for split in SPLITS})
        values = torch.from_numpy(labels).squeeze(1) if len(targets) == 1 else torch.from_numpy(labels)
        return TableContent(
            targets=targets,
            inputs=inputs.take(keep),
            labels=values.float(),
            bins=label_bins(values, width=self.bin_width, count=self.bin_count),
            row_numbers=table.row_numbers[keep],
            split_of_row=split_of_row,
        )

    def _names(self, table: RawTable, argument: str, wanted: Sequence[int | str]) -> list[str]:
        return [column_name(self.path, table.names, argument, one) for one in wanted]


class _Read(NamedTuple):
    """What the file holds, with the rows that cannot be used."""

    table: RawTable
    targets: list[str]
    inputs: InputColumns
    labels: NDArray[np.float64]  # (n, k)
    split_of_row: NDArray[Any] | None


class TableContent(NamedTuple):
    """What a file holds, without the rows that are left out.

    Attributes:
        targets: names of the label's columns.
        inputs: the other columns.
        labels: shape (n,), or (n, k) with several targets.
        bins: of the labels.
        row_numbers: of each row in the file as a person counts, shape (n,).
        split_of_row: "train", "val" or "test" of each row, if a column says it.
    """

    targets: list[str]
    inputs: InputColumns
    labels: Tensor
    bins: Bins
    row_numbers: NDArray[np.int64]
    split_of_row: NDArray[Any] | None


class _Unlabelled(Dataset[Tensor]):
    """Rows to predict."""

    def __init__(self, inputs: Tensor, ids: list[str]) -> None:
        self.inputs = inputs
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        return self.inputs[index]


_NUMBER = re.compile(r"[-+]?\d+[.,]\d*")  # not a whole number, such as a year, which may well be a name


def column_name(path: Path, names: Sequence[str], argument: str, wanted: int | str) -> str:
    """The column that a name or position stands for.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if wanted in names:
        return str(wanted)
    if isinstance(wanted, int):
        if -len(names) <= wanted < len(names):
            return names[wanted]
        raise ValueError(f"{argument}: expected a position in the {len(names)} columns of {path}, got {wanted}")
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if any(_NUMBER.fullmatch(name) for name in names):
        hint = "; some of these are numbers: a file without names needs header: false, and positions instead of names"
    some = ", ".join(map(repr, names[:MOST_NAMES])) + (", ..." if len(names) > MOST_NAMES else "")
    raise ValueError(f"{argument}: expected a column of {path} ({some}), got {wanted!r}{hint}")


def label_column(path: Path, table: RawTable, name: str, bad: BadRows) -> NDArray[np.float64]:
    """The numbers of a target, shape (n,); ``bad`` is told of each row that has none.

    Raises:
        ValueError: from ``bad``, or a column that holds nothing, or text in most rows.
    """
    column = table.columns[table.names.index(name)]
    numbers, texts = parse_numbers(column)
    missing = np.isnan(numbers)
    missing[texts] = False
    if missing.all():
        raise ValueError(f"{path}, column {name!r}: expected numbers as labels, got no value in any row")
    if len(texts) > 0.5 * (~missing).sum():
        raise ValueError(
            f"{path}, column {name!r}: expected numbers as labels, got text in {len(texts)} of {len(column)} rows, the "
            f"first {column[texts[0]]!r} in row {table.row_numbers[texts[0]]}"
        )
    for position in np.flatnonzero(~np.isfinite(numbers)):
        got = "none" if missing[position] else repr(column[position])
        bad.add(int(table.row_numbers[position]), f"column {name!r}: expected a finite number as label, got {got}")
    return numbers


def _check_labels(named: str, labels: NDArray[np.float64]) -> None:
    """Require labels (n,) that networks can tell apart: in float32."""
    if (labels == labels[0]).all():
        raise ValueError(f"{named}: expected labels that differ, got {labels[0]:g} in all {len(labels)} rows")
    low, high = labels.min(), labels.max()
    limits = np.finfo(np.float32)
    too_large = max(abs(low), abs(high)) > limits.max / 2  # so that differences fit, too
    if too_large or np.float32(high) - np.float32(low) < limits.tiny:
        raise ValueError(
            f"{named}: expected labels that 32-bit numbers hold and tell apart, got {low:g} to {high:g}; another unit "
            "makes them larger or smaller"
        )


def _split_of_row(table: RawTable, name: str, bad: BadRows) -> NDArray[Any]:
    column = table.columns[table.names.index(name)]
    for position, value in enumerate(column):
        if value not in SPLITS:
            bad.add(int(table.row_numbers[position]), f"column {name!r}: expected train, val or test, got {value!r}")
    return column


def usable_rows(table: RawTable, bad: BadRows) -> Rows:
    """Positions of the rows that ``bad`` does not name; warns of how many are left out.

    Raises:
        ValueError: no row is left.
    """
    numbers = set(table.row_numbers.tolist())
    cut = sum(number not in numbers for number in bad.problems)  # rows of a wrong number of fields
    left_out = bad.finish(len(table.row_numbers) + cut)
    return np.flatnonzero(~np.isin(table.row_numbers, left_out))


def _ids(row_numbers: NDArray[np.int64]) -> list[str]:
    return [f"row-{number}" for number in row_numbers.tolist()]
