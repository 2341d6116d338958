"""A model of a table: the estimator, and what it needs to read other files like the one it was fitted on."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice, check_number
from conr.data import Table
from conr.density.splits import balanced_split
from conr.estimators import ConRRegressor
from conr.runs.atomic import write_whole
from conr.runs.reading import read_json
from conr.tables.inputs import NEW_CATEGORIES
from conr.tables.rows import FileFormat, Rows, data_frame, read_rows

TABLE = "table.json"
FEWEST_ROWS = 50

_FORMAT = "conr.table/1"
_KINDS = {"targets": list, "numbers": list, "categories": list, "header": bool, "source": str, "digest": str}


@dataclass
class TableModel:
    """A fitted model of a table.

    Args:
        regressor: the estimator.
        targets: names of the label's columns.
        numbers: input columns of numbers.
        categories: input columns of categories.
        header: whether files like the training file have a header.
        source: the training file, as it was named.
        digest: SHA-256 of that file's bytes.
    """

    regressor: ConRRegressor
    targets: list[str]
    numbers: list[str]
    categories: list[str]
    header: bool = True
    source: str = ""
    digest: str = ""

    def is_source(self, path: Path) -> bool:
        """Whether a file is the one that training rows came from: errors over it say little about new rows."""
        return file_digest(path) == self.digest

    def rows(self, path: Path, *, labels: bool, file_format: FileFormat | None = None, skip_bad: bool = False) -> Rows:
        """Rows of another file; see `conr.tables.rows.read_rows`."""
        return read_rows(
            path,
            numbers=self.numbers,
            categories=self.categories,
            targets=self.targets if labels else None,
            file_format=FileFormat(header=self.header) if file_format is None else file_format,
            skip_bad=skip_bad,
        )

    def predict(self, rows: Rows, *, new_categories: str = "error") -> NDArray[np.float64]:
        """Predictions of rows, shape (n, k).

        Args:
            rows: of `rows`.
            new_categories: what a category is that training did not have: "error", or "ignore" to take it as none of
                the known ones, with a warning.

        Raises:
            ValueError: a new category; the message names column and value.
        """
        self._choose(new_categories)
        return self.regressor.predict(rows.inputs).reshape(-1, len(self.targets))

    def evaluate(self, rows: Rows, *, new_categories: str = "error") -> dict[str, dict[str, float]]:
        """Metrics over all rows and per shot region; see `ConRRegressor.evaluate`.

        Raises:
            ValueError: as `predict`, or rows that were read without labels.
        """
        if rows.labels is None:
            raise ValueError(f"rows: expected labels ({', '.join(self.targets)}), got none")
        self._choose(new_categories)
        return self.regressor.evaluate(rows.inputs, rows.labels[:, 0] if len(self.targets) == 1 else rows.labels)

    def save(self, folder: Path) -> Path:
        """Write ``model.json``, ``weights.safetensors`` and ``table.json``; see `ConRRegressor.save`."""
        self.regressor.save(folder)
        described = {name: getattr(self, name) for name in _KINDS}
        text = json.dumps({"schema": _FORMAT, **described}, indent=1, ensure_ascii=False)
        write_whole(folder / TABLE, lambda file: file.write(f"{text}\n".encode()))
        return folder

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model in a folder; nothing in it is executed.

        Raises:
            FileNotFoundError: no such folder, or a file is missing.
            ValueError: a file that is truncated, changed or no model.
        """
        path = folder / TABLE
        if not path.is_file():
            raise FileNotFoundError(f"expected the folder of a model, as `conr table fit` writes it, found no {path}")
        content = read_json(path)
        if not isinstance(content, dict) or content.pop("schema", None) != _FORMAT:
            raise ValueError(f"{path}: expected schema {_FORMAT!r}")
        if content.keys() != _KINDS.keys() or not all(isinstance(content[name], kind) for name, kind in _KINDS.items()):
            raise ValueError(f"{path}: expected {', '.join(_KINDS)}, got {', '.join(map(str, content))}")
        regressor = ConRRegressor.load(folder)
        columns, targets = [*content["numbers"], *content["categories"]], content["targets"]
        names = [str(name) for name in getattr(regressor, "feature_names_in_", ())]
        if not all(isinstance(one, str) for one in columns) or sorted(columns) != sorted(names):
            raise ValueError(f"{path}: expected the model's columns, {names!r:.200}, got {columns!r:.200}")
        if len(targets) != regressor.n_outputs_ or not all(isinstance(one, str) for one in targets):
            raise ValueError(f"{path}: expected the names of {regressor.n_outputs_} targets, got {targets!r:.80}")
        return cls(regressor=regressor, **content)

    def _choose(self, new_categories: str) -> None:
        check_choice("new_categories", new_categories, NEW_CATEGORIES)
        if self.regressor.encoding_ is not None:
            self.regressor.encoding_.new_categories = new_categories


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FittedTable(NamedTuple):
    """What `fit_table` returns.

    Attributes:
        model: fitted on the rows that are not in ``test``.
        test: rows that the model has not seen, balanced over the label bins.
        seconds: of the training.
    """

    model: TableModel
    test: Rows
    seconds: float


def fit_table(
    path: Path,
    target: int | str | Sequence[int | str],
    regressor: ConRRegressor,
    *,
    ignore: Sequence[int | str] = (),
    categorical: Sequence[int | str] = (),
    test_share: float = 0.1,
    split_seed: int = 0,
    file_format: FileFormat | None = None,
    skip_bad: bool = False,
) -> FittedTable:
    """Fit an estimator on a file, without a balanced part of its rows that tests it.

    Args:
        path: a CSV or Parquet file of at least ``FEWEST_ROWS`` rows.
        target: column of the label, by name or position; several for several labels.
        regressor: the estimator with its settings; fitted in place.
        ignore: columns that are no inputs.
        categorical: columns that are categories although they hold numbers.
        test_share: share of the rows that are kept for the test, in (0, 0.5]: of each label bin at most its even
            share, and at most a third of its rows.
        split_seed: of the split.
        file_format: how the file is written.
        skip_bad: leave out rows and columns that cannot be used, with a warning that counts them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: something in the file that cannot be used, too few rows, or a setting out of its range; the message
            says what was expected.
    """
    check_number("test_share", test_share, low=0, open_low=True)
    if test_share > 0.5:
        raise ValueError(f"test_share: expected a share of at most 0.5, got {test_share}")
    written = file_format or FileFormat()
    content = Table(
        path=str(path),
        target=target,
        ignore=ignore,
        categorical=categorical,
        bin_width=regressor.bin_width,
        bin_count=regressor.bin_count,
        skip_bad=skip_bad,
        **written.options(),
    ).content()
    total = len(content.labels)
    if total < FEWEST_ROWS:
        raise ValueError(f"{path}: expected at least {FEWEST_ROWS} rows to train and test on, got {total}")
    occupied = len(content.bins.index(content.labels).bincount().nonzero())
    most = max(1, round(test_share * total / occupied))
    test = balanced_split(content.labels, content.bins, most=most, seed=split_seed)["test"]
    train = np.delete(np.arange(total), test)
    labels = content.labels.double().numpy()  # (n,) or (n, k)
    start = time.perf_counter()
    regressor.fit(data_frame(content.inputs.take(train)), labels[train])
    model = TableModel(
        regressor=regressor,
        targets=content.targets,
        numbers=list(content.inputs.numbers),
        categories=list(content.inputs.categories),
        header=written.header,
        source=str(path),
        digest=file_digest(path),
    )
    held_out = Rows(
        data_frame(content.inputs.take(test)), labels[test].reshape(len(test), -1), content.row_numbers[test]
    )
    return FittedTable(model, held_out, time.perf_counter() - start)
