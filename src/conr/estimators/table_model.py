"""A model of a table: the estimator, and what it needs to read files like the one it was fitted on."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from conr._checks import check_number
from conr._hints import switch
from conr.density.splits import balanced_split
from conr.estimators.rare_regressor import RareRegressor
from conr.estimators.rare_storage import FORMAT
from conr.estimators.regressor import ConRRegressor
from conr.estimators.rows import errors_by_region
from conr.estimators.sealing import read_sealed, write_sealed
from conr.estimators.storage import MODEL
from conr.methods.scale import flat
from conr.rare.conformal import LabelSets
from conr.runs.reading import read_json
from conr.tables.columns import NUMBER, Kind
from conr.tables.files import FileFormat
from conr.tables.source import TableFile, TableRows, even_share, read_rows

TABLE = "table.json"
FEWEST_ROWS = 50

_FORMAT = "conr.table/2"
_MODEL_DIGEST = "model_sha256"
_WRITTEN = dict.fromkeys(NUMBER.state(), str)
_KIND = {
    "schema": _FORMAT,
    "targets": [str],
    "label_kinds": {...: _WRITTEN},
    "header": bool,
    "source": str,
    "digest": str,
    f"{_MODEL_DIGEST}?": str,  # earlier versions wrote none
}


@dataclass
class TableModel:
    """A fitted model of a table.

    Args:
        regressor: the estimator.
        targets: names of the label's columns.
        label_kinds: the ways in which their numbers are written, by name; plain if there is none.
        header: whether files like the training file have a header.
        source: the training file, as it was named.
        digest: SHA-256 of that file's bytes.
    """

    regressor: ConRRegressor | RareRegressor
    targets: list[str]
    label_kinds: dict[str, Kind] = field(default_factory=dict)
    header: bool = True
    source: str = ""
    digest: str = ""

    def is_source(self, path: Path) -> bool:
        """Tell if a file is the one that training rows came from: errors over it say little about new rows."""
        return file_digest(path) == self.digest

    def rows(self, path: Path, *, labels: bool, written: FileFormat | None = None, skip_bad: bool = False) -> TableRows:
        """Rows of another file; see `conr.tables.source.read_rows`."""
        return read_rows(
            path,
            self.regressor.kinds_,
            targets={name: self.label_kinds.get(name, NUMBER) for name in self.targets} if labels else None,
            written=FileFormat(header=self.header) if written is None else written,
            skip_bad=skip_bad,
        )

    def predict(self, rows: TableRows, *, strict: bool = False) -> NDArray[np.float64]:
        """Predictions of rows, shape (n, k).

        Args:
            rows: of `rows`.
            strict: refuse categories that were not in training; if not, they count as none of the known ones, with
                a warning.

        Raises:
            ValueError: a new category; the message names column, value and rows.
        """
        self._check_categories(rows, strict=strict)
        return self.regressor.predict(rows.inputs).reshape(-1, len(self.targets))

    def predict_interval(self, rows: TableRows, *, coverage: float) -> NDArray[np.float64]:
        """Lowest and highest label that each row may have, shape (n, 2); see `RareRegressor.predict_interval`.

        Raises:
            ValueError: as `label_sets`.
        """
        return self.label_sets(coverage).intervals(self.predict(rows)[:, 0])

    def label_sets(self, coverage: float) -> LabelSets:
        """The maker of intervals from predictions (n,); see `RareRegressor.label_sets`.

        Raises:
            ValueError: a model without errors on held-out rows, or a coverage that is none.
        """
        if not isinstance(self.regressor, RareRegressor):
            raise ValueError(  # noqa: TRY004  what the folder holds
                f"interval: expected a model that keeps errors on held-out rows, as `conr table fit` makes it unless "
                f"--model is conr, got a {type(self.regressor).__name__}"
            )
        return self.regressor.label_sets(coverage)

    def evaluate(self, rows: TableRows, *, strict: bool = False) -> dict[str, dict[str, float]]:
        """Metrics over all rows and per shot region; see `ConRRegressor.evaluate`.

        Raises:
            ValueError: as `predict` and `errors`.
        """
        return self.errors(rows, self.predict(rows, strict=strict))

    def errors(self, rows: TableRows, predictions: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        """The content of `evaluate`, for predictions that are there already.

        Args:
            rows: with labels.
            predictions: of these rows, shape (n, k).

        Raises:
            ValueError: rows that were read without labels.
        """
        if rows.labels is None:
            raise ValueError(f"rows: expected labels ({', '.join(self.targets)}), got none")
        given, labels = (flat(torch.from_numpy(one)) for one in (predictions, rows.labels))
        return errors_by_region(given, labels, self.regressor.density_)

    def beyond(self, rows: TableRows) -> list[str]:
        """A sentence per target with labels outside the training bins, about which the model knows little."""
        found = []
        labels = np.empty((0, len(self.targets))) if rows.labels is None else rows.labels
        for name, own, edges in zip(self.targets, labels.T, self.regressor.bins_.edges, strict=True):
            low, high = float(edges[0]), float(edges[-1])
            outside = np.flatnonzero((own < low) | (own > high))
            if len(outside):
                found.append(
                    f"{len(outside)} of {len(own)} labels of {name} lie outside the range of training ({low:g} to "
                    f"{high:g}), the first in row {rows.inputs.rows[outside[0]]}"
                )
        return found

    def save(self, folder: Path) -> Path:
        """Write ``table.json`` and the files of the estimator; see `ConRRegressor.save` and `RareRegressor.save`."""
        self.regressor.save(folder)
        description = {
            "schema": _FORMAT,
            "targets": self.targets,
            "label_kinds": {name: kind.state() for name, kind in self.label_kinds.items()},
            "header": self.header,
            "source": self.source,
            "digest": self.digest,
            _MODEL_DIGEST: file_digest(folder / MODEL),
        }
        write_sealed(folder / TABLE, description)
        return folder

    @classmethod
    def load(cls, folder: Path, *, trusted: Sequence[str] = ()) -> Self:
        """The model in a folder; nothing in it is executed.

        Args:
            folder: that `save` wrote.
            trusted: as of `RareRegressor.load`.

        Raises:
            FileNotFoundError: no such folder, or a file is missing.
            ValueError: a file that is truncated, changed or no model.
        """
        path = folder / TABLE
        if not path.is_file():
            raise FileNotFoundError(f"expected the folder of a model, as `conr table fit` writes it, found no {path}")
        content = read_sealed(path, _KIND)
        del content["schema"]
        regressor = _load_regressor(folder, trusted)
        if content.pop(_MODEL_DIGEST, None) not in (None, file_digest(folder / MODEL)):
            raise ValueError(f"{folder / MODEL}: expected the file that {TABLE} was saved with, got another one")
        targets = content["targets"]
        if len(targets) != regressor.n_outputs_:
            raise ValueError(f"{path}: expected the names of {regressor.n_outputs_} targets, got {targets!r:.80}")
        try:
            kinds = {name: Kind.from_state(kind) for name, kind in content.pop("label_kinds").items()}
        except ValueError as error:
            raise ValueError(f"{path}: label_kinds: {error}") from error
        return cls(regressor=regressor, label_kinds=kinds, **content)

    def _check_categories(self, rows: TableRows, *, strict: bool) -> None:
        encoding = self.regressor.encoding_
        for sentence in encoding.unknown(rows.inputs) if strict and encoding is not None else ():
            raise ValueError(f"{sentence}; without {switch('strict')} it is treated as none of them")


def _load_regressor(folder: Path, trusted: Sequence[str]) -> ConRRegressor | RareRegressor:
    path = folder / MODEL
    content = read_json(path) if path.is_file() else {}
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return RareRegressor.load(folder, trusted=trusted)
    return ConRRegressor.load(folder)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FittedTable(NamedTuple):
    """A fitted model and its test rows, as `fit_table` returns them.

    Attributes:
        model: fitted on the rows that are not in ``test``.
        test: rows that the model has not seen, balanced over the label bins.
        seconds: of the training.
    """

    model: TableModel
    test: TableRows
    seconds: float


def fit_table(
    path: Path,
    target: int | str | Sequence[int | str],
    regressor: ConRRegressor | RareRegressor,
    *,
    ignore: Sequence[int | str] = (),
    categorical: Sequence[int | str] = (),
    test_share: float = 0.1,
    split_seed: int = 0,
    written: FileFormat | None = None,
    skip_bad: bool = False,
    report: Callable[[str], None] | None = None,
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
        written: how the file is written.
        skip_bad: leave out rows and columns that cannot be used, with a warning that counts them.
        report: called before training with sentences on what was understood of the file, and its columns by kind.

    Raises:
        FileNotFoundError: no such file.
        ValueError: something in the file that cannot be used, too few rows, or a setting out of its range; the message
            says what was expected.
    """
    check_number("test_share", test_share, low=0, open_low=True)
    if test_share > 0.5:
        raise ValueError(f"test_share: expected a share of at most 0.5, got {test_share}")
    if getattr(regressor, "categorical", None) is not None:
        raise ValueError("categorical: expected with the file, whose columns it names, got it with the model")
    written = written or FileFormat()
    content = TableFile(
        path,
        [target] if isinstance(target, int | str) else list(target),
        ignore=ignore,
        categorical=categorical,
        written=written,
        bin_width=getattr(regressor, "bin_width", None),
        bin_count=getattr(regressor, "bin_count", None),
        skip_bad=skip_bad,
    ).content()
    total = len(content.labels)
    if total < FEWEST_ROWS:
        raise ValueError(f"{path}: expected at least {FEWEST_ROWS} rows to train and test on, got {total}")
    if report is not None:
        for sentence in (*content.notes, content.summary()):
            report(sentence)
    values = content.labels.float()
    most = even_share(values, content.bins, test_share)
    test = balanced_split(values, content.bins, most=most, seed=split_seed)["test"]
    train = np.delete(np.arange(total), test)
    labels = content.labels.numpy()  # (n,) or (n, k)
    start = time.perf_counter()
    regressor.fit(content.inputs.take(train), labels[train])
    seconds = time.perf_counter() - start
    model = TableModel(
        regressor, content.targets, content.label_kinds, written.header, source=str(path), digest=file_digest(path)
    )
    held_out = TableRows(content.inputs.take(test), labels[test].reshape(len(test), -1))
    return FittedTable(model, held_out, seconds)
