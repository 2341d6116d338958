"""Predictions and features of a finished run on its test split: ``outputs.npz``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from conr.runs.atomic import write_arrays
from conr.runs.reading import read_arrays

OUTPUTS = "outputs.npz"
MOST_FEATURES = 2000
"""Samples whose features are kept."""

_HALF_MAX = float(np.finfo(np.float16).max)
Array = NDArray[Any]


class Outputs(NamedTuple):
    """Predictions and features of a model for the test split; the content of ``outputs.npz``.

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

    @classmethod
    def of(cls, ids: Any, labels: Array, predictions: Array, features: Callable[[NDArray[np.int64]], Array]) -> Self:
        """Gather outputs, with the features of at most ``MOST_FEATURES`` samples, evenly from all.

        Args:
            ids: names of the samples, n texts.
            labels: shape (n,) or (n, k), in label units.
            predictions: like ``labels``.
            features: gives those of the samples at m positions, shape (m, ...), here cut to the range of float16.
        """
        kept = evenly_chosen(len(labels), MOST_FEATURES)
        found = features(kept).reshape(len(kept), -1)
        halves = found.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16)
        return cls(np.asarray(ids, dtype=np.str_), labels, predictions, halves, labels[kept])

    def write(self, run_dir: Path) -> Path:
        """Write ``outputs.npz`` into the run's folder, complete or not at all, and return its path.

        Raises:
            ValueError: shapes that do not fit together, or an array of Python objects.
            OSError: the file cannot be written.
        """
        self._check("outputs")
        return write_arrays(run_dir / OUTPUTS, self._asdict(), compress=True)

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """Read ``outputs.npz`` of a run's folder; no code in the file is ever run.

        Raises:
            FileNotFoundError: the folder has no such file.
            ValueError: as `conr.runs.reading.read_arrays`, or shapes that do not fit together; the message names both.
        """
        path = run_dir / OUTPUTS
        if not path.is_file():
            raise FileNotFoundError(f"expected {OUTPUTS} in {run_dir}, found none: has the run been tested?")
        outputs = cls(**read_arrays(path, cls._fields))
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


def evenly_chosen(n: int, most: int) -> NDArray[np.int64]:
    """Choose at most ``most`` positions evenly from 0 to n - 1; increasing, shape (min(n, most),)."""
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
