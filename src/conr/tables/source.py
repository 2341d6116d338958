"""Rows of files: what one holds for a training, and the rows of another for a model that was trained on it."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conr._checks import check_number, check_seed
from conr._hints import option, switch
from conr.density import Bins
from conr.density.default_bins import label_bins
from conr.density.splits import SPLITS, Positions, balanced_split
from conr.tables.bad_rows import BadRows, check_splits_are_filled, shown
from conr.tables.columns import NUMBER, Columns, Kind, found_kind, missing, same_columns, sort_columns
from conr.tables.files import FileFormat, RawTable, read_table
from conr.tables.notes import understood
from conr.tables.numbers import UnclearError, looks_like_number
from conr.tables.typed import MOST_NAMES, Name, column_name


class TableContent(NamedTuple):
    """Content of a file, without the rows that are left out.

    Attributes:
        targets: names of the label's columns.
        inputs: the other columns.
        labels: shape (n,), or (n, k) with several targets, float64.
        bins: of the labels.
        split_of_row: "train", "val" or "test" of each row, if a column says it.
        label_kinds: of the targets by name.
        left_out: by name, why a column is no input.
        notes: what was understood of the file where it was not plain, in sentences.
    """

    targets: list[str]
    inputs: Columns
    labels: Tensor
    bins: Bins
    split_of_row: NDArray[Any] | None
    label_kinds: dict[str, Kind]
    left_out: dict[str, str]
    notes: list[str]

    def summary(self) -> str:
        """The columns by their kinds, in one line."""
        kinds = self.inputs.kinds
        parts = {
            plural: [name for name, kind in kinds.items() if kind.name == one]
            for one, plural in (("number", "numbers"), ("category", "categories"), ("date", "dates"))
        } | {"left out": [f"{name} ({reason})" for name, reason in self.left_out.items()]}
        return "; ".join(f"{title}: {', '.join(names)}" for title, names in parts.items() if names)


class TableRows(NamedTuple):
    """Rows of a file for a model.

    Attributes:
        inputs: the columns of the model.
        labels: shape (n, k), float64; None if they were not asked for.
    """

    inputs: Columns
    labels: NDArray[np.float64] | None


@dataclass(frozen=True)
class TableFile:
    """A CSV or Parquet file: some columns are the label, the others the inputs. It is read once.

    Args:
        path: the file.
        targets: columns of the label; several make labels (n, k).
        ignore: columns that are no inputs.
        categorical: columns that are categories although they hold numbers.
        split_column: column with "train", "val" or "test"; balanced splits if None.
        written: how a CSV file is written.
        bin_width: width of the label bins, in label units, one number or one per target; see `label_bins`.
        bin_count: number of label bins per target, of equal width; not together with ``bin_width``.
        most: rows of a bin in val, and in test; by default so many that each gets about a tenth of all rows.
        skip_bad: leave out rows and columns that cannot be used, with a warning that counts them, instead of raising at
            the first.
        seed: of the balanced splits.

    Raises:
        ValueError: no target, or a number outside its range.
    """

    path: Path
    targets: Sequence[Name]
    ignore: Sequence[Name] = ()
    categorical: Sequence[Name] = ()
    split_column: Name | None = None
    written: FileFormat = field(default_factory=FileFormat)
    bin_width: float | Sequence[float] | None = None
    bin_count: int | None = None
    most: int | None = None
    skip_bad: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("target: expected the name or position of a column, got none")
        check_seed("data_seed", self.seed)
        if self.most is not None:
            check_number("most", self.most, low=1)

    def content(self) -> TableContent:
        """Labels, inputs and bins.

        Raises:
            FileNotFoundError: no such file.
            ValueError: something in it cannot be used; the message names the file and the row or column.
            ImportError: a Parquet file, and pyarrow is not installed.
        """
        table, bad = self._raw
        targets, inputs, unusable, left_out, labels, label_kinds, split_of_row = self._read
        if not self.skip_bad:
            bad.refuse()
        _check_columns(self.path, inputs.values, unusable, left_out, skip=self.skip_bad)
        keep = _usable_rows(table, bad)
        labels = labels[keep]
        for name, column in zip(targets, labels.T, strict=True):
            _check_labels(f"{self.path}, column {name!r}", column)
        if split_of_row is not None:
            split_of_row = split_of_row[keep]
            check_splits_are_filled(self.path, {split: int((split_of_row == split).sum()) for split in SPLITS})
        values = torch.from_numpy(labels).squeeze(1) if len(targets) == 1 else torch.from_numpy(labels)
        bins = label_bins(values, width=self.bin_width, count=self.bin_count)
        for sentence in self.copies():
            warnings.warn(sentence, stacklevel=2)
        notes = [*table.notes, *understood(self.path, table, {**label_kinds, **inputs.kinds}, inputs.values)]
        notes += [f"{self.path}, column {name!r} left out: {reason}" for name, reason in left_out.items()]
        return TableContent(targets, inputs.take(keep), values, bins, split_of_row, label_kinds, left_out, notes)

    def split(self, content: TableContent) -> dict[str, Positions]:
        """Positions of the rows of train, val and test: as a column says, or balanced over the bins."""
        if content.split_of_row is not None:
            return {split: np.flatnonzero(content.split_of_row == split) for split in SPLITS}
        labels = content.labels.float()
        most = self.most or even_share(labels, content.bins, 0.1)
        return balanced_split(labels, content.bins, most=most, seed=self.seed)

    def problems(self) -> list[str]:
        """Everything that is wrong with the file, one sentence each; empty if nothing is wrong with a row or column."""
        try:
            rows = self._raw[1].problems
        except (ValueError, OSError) as error:
            return [str(error)]
        try:
            found = [f"{self.path}, column {name!r}: {problem}" for name, problem in self._read.unusable.items()]
        except ValueError as error:
            found = [str(error)]
        return found + [f"{self.path}, row {row}: {rows[row]}" for row in sorted(rows)]

    def copies(self) -> list[str]:
        """A sentence on the rows that repeat an earlier one in all columns that are used, if there are any.

        Raises:
            FileNotFoundError, ValueError: as `content`, of a file that is no table.
        """
        table = self._raw[0]
        names = [*self._read.targets, *self._read.inputs.values]
        again = np.flatnonzero(table.repeated(names))
        if len(again) == 0:
            return []
        count = f"{len(again)} of {len(table.row_numbers)} rows repeat an earlier one in all columns"
        return [f"{self.path}: {count}, the first is row {table.row_numbers[again[0]]}"]

    def count_rows(self) -> int:
        """Rows of the file that have the right number of fields.

        Raises:
            FileNotFoundError, ValueError: as `content`, of a file that is no table.
        """
        return len(self._raw[0].row_numbers)

    def sample_values(self, sample: str) -> dict[str, str]:
        """The row of the file that a sample, such as ``row-7``, comes from, column by column.

        Raises:
            FileNotFoundError, ValueError: as `content`, of a file that is gone or no table.
        """
        table = self._raw[0]
        (row,) = np.flatnonzero(table.row_numbers == int(sample.removeprefix("row-")))
        values = (column[row] for column in table.columns)
        return {
            name: f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in zip(table.names, values, strict=True)
        }

    @cached_property
    def _raw(self) -> tuple[RawTable, BadRows]:
        bad = BadRows(self.path, skip=True)
        return read_table(self.path, bad, self.written, texts=self._texts), bad

    def _texts(self, names: list[str]) -> list[str]:
        """Columns that are needed as they are written."""
        splits = [] if self.split_column is None else [self.split_column]
        return [column_name(self.path, names, "categorical", one) for one in (*self.categorical, *splits)]

    @cached_property
    def _read(self) -> "_Read":
        table, bad = self._raw
        targets = self._names("target", self.targets)
        splits = [] if self.split_column is None else self._names("split_column", [self.split_column])
        ignored, categorical = self._names("ignore", self.ignore), self._names("categorical", self.categorical)
        _check_roles(targets, split_column=splits, ignore=ignored, categorical=categorical)
        names = [name for name in table.names if name not in (*targets, *splits, *ignored)]
        inputs, unusable, left_out = sort_columns(table, names, bad, categorical=categorical)
        kinds = {name: _label_kind(self.path, table, name) for name in targets}
        labels = _labels(self.path, table, kinds, bad)
        split_of_row = _split_of_row(table, splits[0], bad) if splits else None
        return _Read(targets, inputs, unusable, left_out, labels, kinds, split_of_row)

    def _names(self, argument: str, wanted: Sequence[Name]) -> list[str]:
        return [column_name(self.path, self._raw[0].names, argument, one) for one in wanted]


class _Read(NamedTuple):
    """Content of a file with the rows and columns that cannot be used."""

    targets: list[str]
    inputs: Columns
    unusable: dict[str, str]
    left_out: dict[str, str]
    labels: NDArray[np.float64]  # (n, k)
    label_kinds: dict[str, Kind]
    split_of_row: NDArray[Any] | None


def read_rows(
    path: Path,
    kinds: Mapping[str, Kind],
    *,
    targets: Mapping[str, Kind] | None = None,
    written: FileFormat | None = None,
    skip_bad: bool = False,
) -> TableRows:
    """Read rows with the columns of a training file, in any order and among others.

    Args:
        path: a CSV or Parquet file.
        kinds: of the columns by name, as `conr.tables.columns.Columns.kinds`.
        targets: kinds of the labels' columns by name; not read if None.
        written: how the file is written; a decimal mark that it names holds in the place of that of the kinds.
        skip_bad: leave out rows that cannot be used, with a warning that counts them, instead of raising at the first.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is not there; a text or an infinite number among numbers; a label that is no finite number.
    """
    bad = BadRows(path, skip=skip_bad)
    texts = [name for name, kind in {**kinds, **(targets or {})}.items() if kind != NUMBER]
    table = read_table(path, bad, written, texts=lambda names: [name for name in texts if name in names])
    columns = same_columns(path, table, kinds, bad)
    labels = None
    if targets is not None:
        mark = table.written.decimal
        found = {
            column_name(path, table.names, "target", name): one.with_decimal(mark) for name, one in targets.items()
        }
        labels = _labels(path, table, found, bad)
    keep = _usable_rows(table, bad)
    return TableRows(columns.take(keep), None if labels is None else labels[keep])


def even_share(labels: Tensor, bins: Bins, share: float) -> int:
    """Rows of a bin, at least one, of which every bin with rows gives as many for a share of all rows."""
    occupied = len(bins.index(labels).bincount().nonzero())
    return max(1, round(share * len(labels) / occupied))


def _check_roles(targets: Sequence[str], **others: Sequence[str]) -> None:
    """Require that a target is one once, and nothing else."""
    twice = [name for position, name in enumerate(targets) if name in targets[:position]]
    if twice:
        raise ValueError(f"target: expected each column once, got {twice[0]!r} twice")
    for argument, names in others.items():
        for name in names:
            if name in targets:
                raise ValueError(f"{argument}: expected columns beside the target, got {name!r}, which is one")


def _label_kind(path: Path, table: RawTable, name: str) -> Kind:
    """The way in which a target's numbers are written."""
    column = table.column(name)
    try:
        kind = found_kind(table, name, dates=False)
    except UnclearError as error:
        raise ValueError(f"{path}, column {name!r}: {error}") from error
    if kind.name == "number":
        return kind
    texts = [(row, text) for row, text in zip(table.row_numbers, column, strict=True) if text is not None]
    if not texts:
        raise ValueError(f"{path}, column {name!r}: expected numbers as labels, got no value in any row")
    wrong = [one for one in texts if kind.name != "category" or not looks_like_number(str(one[1]))]
    row, first = (wrong or texts)[0]
    raise ValueError(
        f"{path}, column {name!r}: expected numbers as labels, got {'dates' if kind.name == 'date' else 'text'} in "
        f"{len(wrong or texts)} of {len(column)} rows, the first {shown(str(first))} in row {row}"
    )


def _labels(path: Path, table: RawTable, kinds: Mapping[str, Kind], bad: BadRows) -> NDArray[np.float64]:
    """The numbers of the targets, shape (n, k); ``bad`` is told of each row that lacks one."""
    labels = np.empty((len(table.row_numbers), len(kinds)))
    for position, (name, kind) in enumerate(kinds.items()):
        column = table.column(name)
        labels[:, position], texts = kind.read(column)
        gone = missing(column)
        if gone.all():
            raise ValueError(f"{path}, column {name!r}: expected numbers as labels, got no value in any row")
        if len(texts) > 0.5 * (~gone).sum():
            raise ValueError(
                f"{path}, column {name!r}: expected numbers as labels, got text in {len(texts)} of {len(column)} rows, "
                f"the first {shown(column[texts[0]])} in row {table.row_numbers[texts[0]]}"
            )
        for row in np.flatnonzero(~np.isfinite(labels[:, position])):
            got = "none" if gone[row] else shown(column[row])
            bad.add(int(table.row_numbers[row]), f"column {name!r}: expected a finite number as label, got {got}")
    return labels


def _check_columns(
    path: Path, usable: Collection[str], unusable: Mapping[str, str], left_out: Mapping[str, str], *, skip: bool
) -> None:
    """Require usable columns only; with ``skip`` warn of how many are left out."""
    if unusable and not skip:
        first = next(iter(unusable))
        advice = f"({option('ignore')} leaves a column out, {switch('skip_bad')} all such columns)"
        raise ValueError(f"{path}, column {first!r}: {unusable[first]} {advice}")
    if not usable:
        out = {**unusable, **left_out}
        each = [f"{name!r} ({reason})" for name, reason in out.items()]
        more = [f"and {len(each) - MOST_NAMES} more"] if len(each) > MOST_NAMES else []
        if out:
            listed = ", ".join(each[:MOST_NAMES] + more)
            raise ValueError(f"{path}: expected usable columns, got none of {len(out)}: {listed}")
        raise ValueError(f"{path}: expected columns beside the target, got none")
    for first, problem in list(unusable.items())[:1]:
        count = f"{len(unusable)} of {len(usable) + len(unusable)} columns left out"
        warnings.warn(f"{path}: {count}; the first is {first!r}: {problem}", stacklevel=3)


def _check_labels(named: str, labels: NDArray[np.float64]) -> None:
    """Require labels (n,) that networks can tell apart: in float32."""
    if (labels == labels[0]).all():
        raise ValueError(f"{named}: expected labels that differ, got {labels[0]:g} in all {len(labels)} rows")
    low, high = labels.min(), labels.max()
    limits = np.finfo(np.float32)
    too_large = max(abs(low), abs(high)) > limits.max / 2  # so that differences fit, too
    if too_large or np.float32(high) - np.float32(low) < limits.tiny:
        raise ValueError(
            f"{named}: expected labels that 32-bit numbers can hold and distinguish, got {low:g} to {high:g}; use "
            "another unit"
        )


def _split_of_row(table: RawTable, name: str, bad: BadRows) -> NDArray[Any]:
    column = table.column(name)
    for position, value in enumerate(column):
        if value not in SPLITS:
            bad.add(
                int(table.row_numbers[position]), f"column {name!r}: expected train, val or test, got {shown(value)}"
            )
    return column


def _usable_rows(table: RawTable, bad: BadRows) -> Positions:
    """Positions of the rows that ``bad`` does not name; warns of how many are left out."""
    named = np.array(sorted(bad.problems), dtype=np.int64)
    cut = len(named) - int(np.isin(named, table.row_numbers).sum())  # rows of a wrong number of fields
    left_out = bad.finish(len(table.row_numbers) + cut)
    return np.flatnonzero(~np.isin(table.row_numbers, left_out))
