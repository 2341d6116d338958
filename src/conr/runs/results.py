"""The files of a finished run: ``result.json``, ``outputs.npz`` and the metrics of each epoch."""

import contextlib
import csv
import io
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from conr.runs.result_check import KEYS, OPTIONAL, check_content

SCHEMA = "conr.result/1"
RESULT = "result.json"
OUTPUTS = "outputs.npz"

# What NumPy and zipfile raise depends on where an archive is damaged; NotImplementedError is a RuntimeError.
_BROKEN_ARCHIVE = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OSError,
    OverflowError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class RunResult:
    """What one run measured on its test split, and how it came about; the content of ``result.json``.

    Args:
        dataset: name of the dataset.
        method: name of the method in tables.
        seed: the run's seed; None if it was not fixed.
        label: ``name`` and ``unit`` of the label; the unit may be empty. ``dimensions`` may name each of several.
        bins: ``edges`` (one list per label dimension), ``train_counts`` and ``regions`` ("many", "median", "few"), the
            last two with one entry per bin, the last label dimension fastest.
        headline: the metric that summaries compare, "mae" for most datasets.
        metrics: for "all", "many", "median" and "few": ``count``, the headline and others, as the dataset defines them,
            in label units; NaN where undefined, as in a region without test samples.
        checkpoint: ``path`` (relative to the run's folder if inside) and ``epoch`` of what was tested, and the
            ``value`` of the validation metric ``monitor`` that chose it.
        epochs: number of epochs trained.
        train_seconds: time of training with validation, over all parts of a resumed run.
        versions: of the packages that matter.
        hardware: ``device``, ``threads``, ``platform``.
        created: time of the test, ISO 8601 with offset.
        peak_memory: the most memory that training took at a time, in bytes, as `conr.training.memory` measures it; None
            if unknown.
    """

    dataset: str
    method: str
    seed: int | None
    label: dict[str, Any]
    bins: dict[str, Any]
    headline: str
    metrics: dict[str, dict[str, float]]
    checkpoint: dict[str, Any]
    epochs: int
    train_seconds: float
    versions: dict[str, str]
    hardware: dict[str, Any]
    created: str
    peak_memory: int | None = None

    def write(self, run_dir: Path) -> Path:
        """Write ``result.json`` into the run's folder and return its path.

        The file appears complete or not at all. JSON has no NaN or infinity: both are written as null.

        Raises:
            OSError: the file cannot be written.
        """
        content = {"schema": SCHEMA, **asdict(self)}
        text = json.dumps(_finite_or_none(content), indent=1, allow_nan=False, ensure_ascii=False)
        return write_whole(run_dir / RESULT, lambda file: file.write(f"{text}\n".encode()))

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """Read ``result.json`` of a run's folder; null metrics become NaN.

        Raises:
            FileNotFoundError: the folder has no such file.
            ValueError: no complete JSON, another schema, or a missing key; the message names the file and the key.
        """
        path = run_dir / RESULT
        if not path.is_file():
            raise FileNotFoundError(f"expected {RESULT} in {run_dir}, found none: has the run been tested?")
        content = read_json(path)
        check_content(path, content, SCHEMA)
        content["metrics"] = {
            region: {name: math.nan if value is None else value for name, value in values.items()}
            for region, values in content["metrics"].items()
        }
        optional = {key: content[key] for key in OPTIONAL if key in content}
        return cls(**{key: content[key] for key in KEYS}, **optional)


class Outputs(NamedTuple):
    """What a model gave for the test split; the content of ``outputs.npz``.

    Attributes:
        ids: names of the samples, shape (n,), strings.
        labels: shape (n,) or (n, k), in label units.
        predictions: like ``labels``.
        features: of m <= n samples, shape (m, d), float16.
        feature_labels: labels of these, shape (m,) or (m, k).
    """

    ids: Array
    labels: Array
    predictions: Array
    features: Array
    feature_labels: Array

    def write(self, run_dir: Path) -> Path:
        """Write ``outputs.npz`` into the run's folder, complete or not at all, and return its path.

        Raises:
            ValueError: shapes that do not fit together, or an array of Python objects.
            OSError: the file cannot be written.
        """
        self._check("outputs")
        content = io.BytesIO()  # an archive that a full disk breaks off cannot be closed
        np.savez_compressed(content, **self._asdict())
        return write_whole(run_dir / OUTPUTS, lambda file: file.write(content.getbuffer()))

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """Read ``outputs.npz`` of a run's folder; no code in the file is ever run.

        Raises:
            FileNotFoundError: the folder has no such file.
            ValueError: a broken file, a missing array, or shapes that do not fit together; the message names both.
        """
        path = run_dir / OUTPUTS
        if not path.is_file():
            raise FileNotFoundError(f"expected {OUTPUTS} in {run_dir}, found none: has the run been tested?")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except _BROKEN_ARCHIVE as error:
            raise ValueError(f"{path}: expected a complete NumPy archive, got one that breaks: {error}") from error
        for name in cls._fields:
            if name not in arrays:
                raise ValueError(f"{path}: expected the array {name!r}, got {', '.join(sorted(arrays)) or 'none'}")
        outputs = cls(**{name: arrays[name] for name in cls._fields})
        outputs._check(str(path))
        return outputs

    def _check(self, source: str) -> None:
        for name, array in self._asdict().items():
            if array.dtype.hasobject:
                raise ValueError(f"{source}: {name}: expected numbers or strings, got an array of Python objects")
            if name != "ids" and array.dtype.kind not in "fiu":
                raise ValueError(f"{source}: {name}: expected numbers, got an array of {array.dtype}")
        if self.labels.ndim not in (1, 2):
            raise ValueError(f"{source}: labels: expected shape (n,) or (n, k), got {self.labels.shape}")
        if self.features.ndim != 2:
            raise ValueError(f"{source}: features: expected shape (m, d), got {self.features.shape}")
        expected = {
            "ids": self.labels.shape[:1],
            "predictions": self.labels.shape,
            "feature_labels": self.features.shape[:1] + self.labels.shape[1:],
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{source}: {name}: expected shape {shape}, got {getattr(self, name).shape}")


def read_history(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what a run logged per epoch, from ``csv/version_*/metrics.csv``.

    The last value of an epoch counts. A resumed run has several versions: later ones override earlier ones. A row
    without an epoch, as the learning rate is logged, belongs to the epoch of the next row that names one. A last line
    that a killed run left unfinished is skipped.

    Returns:
        By metric, pairs of epoch and value in the order of epochs; empty if the run logged nothing.

    Raises:
        ValueError: a file that is no table of numbers; the message names file, line and column.
    """
    merged: dict[str, dict[int, float]] = {}
    for path in sorted(run_dir.glob("csv/version_*/metrics.csv"), key=_version):
        reader = csv.DictReader(io.StringIO(_whole_lines(path)))
        waiting: list[dict[str, float]] = []
        for row in _rows(path, reader):
            values = {name: _number(path, reader.line_num, name, cell) for name, cell in row.items() if cell}
            waiting.append(values)
            if "epoch" not in values:
                continue
            if not math.isfinite(values["epoch"]):
                raise ValueError(f"{path}, line {reader.line_num}: expected the number of an epoch, got {row['epoch']}")
            for logged in waiting:
                for name in logged.keys() - {"epoch", "step"}:
                    merged.setdefault(name, {})[int(values["epoch"])] = logged[name]
            waiting = []
    return {name: sorted(merged[name].items()) for name in sorted(merged)}


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Find all folders with a ``result.json`` at or below the given paths.

    Args:
        paths: folders, or result files themselves.

    Returns:
        Folders, sorted, each once.

    Raises:
        FileNotFoundError: a path that is not there, or no result file in any of them.
    """
    searched = [Path(path) for path in paths]
    found: set[Path] = set()
    for path in searched:
        if not path.exists():
            raise FileNotFoundError(f"expected the folder of a run, or one above it, found nothing at {path}")
        if path.is_dir():
            found.update(result.parent for result in path.rglob(RESULT))
        elif path.name == RESULT:
            found.add(path.parent)
    if not found:
        where = ", ".join(map(str, searched)) or "an empty list of paths"
        raise FileNotFoundError(f"expected at least one {RESULT}, as `conr test` writes it, found none in {where}")
    unique = {folder.resolve(): folder for folder in sorted(found, reverse=True)}
    return sorted(unique.values())


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file that appears complete or not at all, and return its path.

    Args:
        path: the file.
        write: called with the open file.

    Raises:
        OSError: the file cannot be written, as on a full or read-only disk; the message names it, and an earlier one is
            then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error  # a write itself does not know its file
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is truncated or no JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{path}: expected a complete JSON file, got one that breaks: {error}") from error


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_none(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_or_none(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("version_")
    return (int(number) if number.isdecimal() else -1, number)


def _whole_lines(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, got one that breaks: {error}") from error
    return text[: text.rfind("\n") + 1]


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: expected a row of a CSV file: {error}") from error


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ValueError(f"{path}, line {line}, column {column}: expected a number, got {cell!r}") from None
