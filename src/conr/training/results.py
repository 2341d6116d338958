"""The result files of a run: a summary as JSON and the outputs on the test split as arrays."""

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

SCHEMA = "conr.result/1"
RESULT = "result.json"
OUTPUTS = "outputs.npz"

History = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class RunResult:
    """What a tested run found; ``result.json`` is this with the schema's name, NaN as null.

    Attributes:
        dataset: name of the dataset.
        method: name of the method.
        seed: of the run.
        label: its "name" and "unit".
        bins: "edges" per label dimension, "train_counts" and "regions" per bin.
        metrics: for "all" and each shot region: metric name to value.
        checkpoint: "path", "epoch" and "val_mae" of the tested checkpoint.
        epochs: trained.
        train_seconds: time of all epochs with validation.
        versions: of the packages that matter.
        hardware: "device", "threads", "platform".
        created: UTC time in ISO form.
    """

    dataset: str
    method: str
    seed: int | None
    label: dict[str, str]
    bins: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    checkpoint: dict[str, Any]
    epochs: int
    train_seconds: float
    versions: dict[str, str]
    hardware: dict[str, Any]
    created: str

    def write(self, folder: Path) -> None:
        """Write ``result.json`` in one step, so that no half-written file is ever seen."""
        content = {"schema": SCHEMA, **_nan_to_null(asdict(self))}
        temporary = folder / f"{RESULT}.tmp"
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        temporary.replace(folder / RESULT)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``result.json`` of a run's folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is not JSON, of another schema, or a key is missing; the message names file and key.
        """
        path = folder / RESULT
        if not path.is_file():
            raise FileNotFoundError(f"expected a result file at {path}, found none: has the run been tested?")
        try:
            content = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: expected JSON, got an error at {error}") from error
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        if found != SCHEMA:
            raise ValueError(f"{path}: expected schema {SCHEMA!r}, got {found!r}")
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"{path}: expected keys {', '.join(names)}, got none named {', '.join(missing)}")
        values = {name: content[name] for name in names}
        values["metrics"] = {
            region: {name: math.nan if value is None else float(value) for name, value in metrics.items()}
            for region, metrics in content["metrics"].items()
        }
        return cls(**values)


class Outputs(NamedTuple):
    """Outputs on the test split."""

    ids: np.ndarray  # (n,) str
    labels: np.ndarray  # (n,) or (n, k)
    predictions: np.ndarray  # like labels
    features: np.ndarray  # (m, d) float16, of m <= n samples
    feature_labels: np.ndarray  # (m,) or (m, k)

    def write(self, folder: Path) -> None:
        """Write ``outputs.npz`` in one step."""
        temporary = folder / f"{OUTPUTS}.tmp"
        with temporary.open("wb") as file:
            np.savez_compressed(file, **self._asdict())
        temporary.replace(folder / OUTPUTS)

    @classmethod
    def read(cls, folder: Path) -> "Outputs":
        """Read ``outputs.npz`` of a run's folder; no code in it is executed.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged or lacks an array.
        """
        path = folder / OUTPUTS
        if not path.is_file():
            raise FileNotFoundError(f"expected the outputs of a tested run at {path}, found none")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{name: arrays[name] for name in cls._fields})
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ValueError(f"{path}: expected arrays {', '.join(cls._fields)}, got {error}") from error


def read_history(folder: Path) -> History:
    """Logged values by name, as (epoch, value) in the order of epochs.

    A resumed run has several CSV files; of an epoch that was trained twice, the later training counts.
    """
    values: dict[str, dict[int, float]] = {}
    for path in sorted((folder / "csv").glob("version_*/metrics.csv"), key=lambda path: int(path.parent.name[8:])):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if not row.get("epoch"):
                    continue
                for name, value in row.items():
                    if value and name not in ("epoch", "step"):
                        values.setdefault(name, {})[int(float(row["epoch"]))] = float(value)
    return {name: sorted(by_epoch.items()) for name, by_epoch in sorted(values.items())}


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Folders with a ``result.json`` at or below the given folders (or that hold the given result files), sorted.

    Raises:
        FileNotFoundError: a path does not exist, or there is no result file below any of them.
    """
    found: set[Path] = set()
    looked_at = [Path(path) for path in paths]
    for path in looked_at:
        if not path.exists():
            raise FileNotFoundError(f"expected a folder with runs, found nothing at {path}")
        results = [path] if path.is_file() else path.rglob(RESULT)
        found.update(result.parent for result in results)
    if not found:
        raise FileNotFoundError(f"expected {RESULT} files below {', '.join(map(str, looked_at))}, found none")
    return sorted(found)


def _nan_to_null(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _nan_to_null(item) for key, item in value.items()}
    return [_nan_to_null(item) for item in value] if isinstance(value, list | tuple) else value
