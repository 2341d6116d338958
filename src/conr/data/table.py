"""Any table: a CSV or Parquet file with one target column, or several."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from conr._auto import AUTO, Auto
from conr._checks import check_number
from conr.data.dataset import ArrayDataset, DatasetCard, Splits
from conr.data.module import RegressionData
from conr.data.protocols import Protocol
from conr.density.splits import SPLITS, Positions
from conr.methods.lengths import automatic, default_batch_size
from conr.tables.columns import Columns
from conr.tables.encoding import Encoding
from conr.tables.files import FileFormat
from conr.tables.source import TableContent, TableFile, read_rows
from conr.tables.typed import typed_column


class Table(RegressionData):
    """A CSV or Parquet file: some columns are the label, the others the inputs.

    Separator, encoding and decimal mark of a CSV file are detected. Missing numbers are filled in, categories become
    columns, numbers are scaled (`conr.tables.encoding.Encoding`), by the training rows; the label does not change.
    Validation and test are balanced (`balanced_split`) unless a column gives the split. Inputs have shape (width,),
    labels are one number, or k with several targets.

    Args:
        path: the file.
        target: column of the label, by name or position (from 0, or from -1 at the end); several make labels (n, k).
        ignore: columns to leave out, by name or position.
        categorical: numeric columns to treat as categories, by name or position. All columns that are mostly text are.
        split_column: column with "train", "val" or "test", by name or position; balanced splits if None.
        header: whether the first row of a CSV file holds the names of the columns.
        separator: of a CSV file: "comma", "semicolon", "tab", "bar" or "space"; detected if None.
        encoding: of a CSV file; detected if None.
        decimal: decimal mark of a CSV file, "." or ","; detected if None.
        dates: "day-first", "month-first" or "year-first" where dates of a CSV file may be either; "none" for none.
        categories: "onehot": a column per category, or "ordinal": one column with the category's place in the alphabet.
        imputation: what stands for a missing number: "median", "mean" or "most_frequent" of its column. A missing
            category is a category of its own.
        scaling: "robust" (from the median, squashed to -4 to 4), "standard" (mean 0, deviation 1), "quantile" (to a
            normal distribution) or "none".
        bin_width: width of the label bins, in label units, one number or one per target; see `label_bins`.
        bin_count: number of label bins per target, of equal width; not together with ``bin_width``.
        most: largest number of rows per bin in val and in test; by default each gets about a tenth of all rows.
        predict_path: file whose rows ``conr predict`` uses instead of the test split; it needs no target.
        label_unit: for tables and pictures.
        many: see `RegressionData`.
        few: see `RegressionData`.
        skip_bad: leave out rows and columns that cannot be used, with a warning that counts them, instead of raising at
            the first.
        data_seed: seed of the split.
        batch_size: rows per batch; "auto" is 128 up to 10,000 training rows and grows to 1024.

    Attributes:
        columns: inputs of each split before they are encoded, once the splits are loaded.

    Raises:
        ValueError: no target, or an unknown word; from `load`, a file, row or column that cannot be used.
    """

    name = "table"
    label_name = "label"
    card = DatasetCard(
        summary="Your own CSV or Parquet file: inputs are numbers and categories, labels one or several numbers.",
        source="your own",
        licence="yours",
        layout={"path": "the file, with a target column; separator, encoding and decimal mark are detected"},
    )

    def __init__(
        self,
        *,
        path: str,
        # str first: jsonargparse takes the first kind that a typed text fits, and would read 0x1F as the number 31
        target: str | int | Sequence[str | int],
        ignore: str | int | Sequence[str | int] = (),
        categorical: str | int | Sequence[str | int] = (),
        split_column: str | int | None = None,
        header: bool = True,
        separator: str | None = None,
        encoding: str | None = None,
        decimal: str | None = None,
        dates: str | None = None,
        categories: str = "onehot",
        imputation: str = "median",
        scaling: str = "robust",
        bin_width: float | Sequence[float] | None = None,
        bin_count: int | None = None,
        most: int | None = None,
        predict_path: str | None = None,
        label_unit: str = "",
        many: int = 100,
        few: int = 20,
        skip_bad: bool = False,
        data_seed: int = 0,
        batch_size: int | Auto = "auto",
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=automatic("batch_size", batch_size, 1), num_workers=num_workers)
        check_number("few", few, low=0)
        check_number("many", many, low=few)
        targets, ignored, also_categories = (
            [*map(typed_column, [one] if isinstance(one, int | str) else one)] for one in (target, ignore, categorical)
        )
        self.file = TableFile(
            Path(path),
            targets,
            ignore=ignored,
            categorical=also_categories,
            split_column=None if split_column is None else typed_column(split_column),
            written=FileFormat(header=header, separator=separator, encoding=encoding, decimal=decimal, dates=dates),
            bin_width=bin_width,
            bin_count=bin_count,
            most=most,
            skip_bad=skip_bad,
            seed=data_seed,
        )
        self.encoding = Encoding(scaling=scaling, imputation=imputation, categories=categories)
        self.predict_path = None if predict_path is None else Path(predict_path)
        self.many = many
        self.few = few
        self.name = f"table-{self.file.path.stem}"
        self.label_name = ", ".join(map(str, targets))
        self.label_unit = label_unit
        self.columns: dict[str, Columns] = {}
        self._automatic_batches = batch_size == AUTO

    def load(self) -> Splits:
        """Read and split the table.

        Raises:
            FileNotFoundError: no such file.
            ValueError: something in it cannot be used; the message names the file and the row or column.
            ImportError: a Parquet file, and pyarrow is not installed.
        """
        return self._load(self.file.split)

    def load_with(self, protocol: Protocol) -> Splits:
        """Read the table and split it by a protocol, on whose training rows the encoding is fitted.

        Raises as `load`, and as `conr.data.Protocol.rows`.
        """
        return self._load(lambda content: protocol.rows(content.labels.float(), content.bins))

    def content(self) -> TableContent:
        """Content of the file, before it is split and encoded; raises as `load`."""
        return self.file.content()

    def problems(self) -> list[str]:
        """Everything that is wrong with the file, one sentence each; empty if all is well."""
        return ([] if self.file.skip_bad else self.file.problems()) or super().problems()

    def sample_values(self, sample: str) -> dict[str, str]:
        """The row of the file that a sample comes from, column by column; raises as `load`."""
        return self.file.sample_values(sample)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the rows to predict, in order: ``predict_path``, else the test split; raises as `load`."""
        if self.predict_path is None:
            return super().predict_dataloader()
        self.setup("predict")  # fits the encoding
        columns, _ = read_rows(
            self.predict_path, self.encoding.kinds, written=self.file.written, skip_bad=self.file.skip_bad
        )
        for sentence in self.encoding.unknown(columns):
            warnings.warn(f"{self.predict_path}, {sentence}: treated as none of them", stacklevel=2)
        inputs = torch.from_numpy(self.encoding.transform(columns))
        return DataLoader(_Unlabelled(inputs, _ids(columns.rows)), batch_size=self.batch_size)

    def _load(self, split_rows: Callable[[TableContent], dict[str, Positions]]) -> Splits:
        content = self.content()
        for sentence in content.notes:
            warnings.warn(sentence, stacklevel=4)
        try:
            rows = split_rows(content)
        except ValueError as error:
            raise ValueError(f"{self.file.path}: {error}") from error
        self.label_name = ", ".join(content.targets)
        if self._automatic_batches:
            self.batch_size = default_batch_size(len(rows["train"]))
        self.encoding.fit(content.inputs.take(rows["train"]))
        inputs = torch.from_numpy(self.encoding.transform(content.inputs))  # (n, width)
        self.columns = {split: content.inputs.take(rows[split]) for split in SPLITS}
        labels, ids = content.labels.float(), content.inputs.rows
        datasets = {
            split: ArrayDataset(inputs[rows[split]], labels[rows[split]], _ids(ids[rows[split]])) for split in SPLITS
        }
        return Splits(**datasets, bins=content.bins)


@dataclass(eq=False, repr=False)
class _Unlabelled(Dataset[Tensor]):
    """Rows to predict."""

    inputs: Tensor
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        return self.inputs[index]


def _ids(row_numbers: NDArray[np.int64]) -> list[str]:
    return [f"row-{number}" for number in row_numbers.tolist()]
