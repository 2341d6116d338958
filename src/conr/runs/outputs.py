"""Predictions and features of a finished run on its test split: ``outputs.npz``."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from conr.runs.atomic import write_arrays

OUTPUTS = "outputs.npz"
MOST_FEATURES = 2000
"""Samples whose features are kept."""
MOST_BYTES = 4 * 2**30
"""Size of the unpacked arrays of a file."""

_HALF_MAX = float(np.finfo(np.float16).max)
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
            features: gives those of the samples at m positions, shape (m, ...); values beyond the range of float16
                become its largest.
        """
        kept = spread(len(labels), MOST_FEATURES)
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
            ValueError: a broken file, one of more than ``MOST_BYTES`` unpacked bytes, a missing array, or shapes that
                do not fit together; the message names both.
        """
        path = run_dir / OUTPUTS
        if not path.is_file():
            raise FileNotFoundError(f"expected {OUTPUTS} in {run_dir}, found none: has the run been tested?")
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MOST_BYTES:
                raise ValueError(f"at most {MOST_BYTES} unpacked bytes are read, got {unpacked}")
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except _BROKEN_ARCHIVE as error:
            raise ValueError(f"{path}: expected a complete NumPy archive, got one that breaks: {error}") from error
        for name in cls._fields:
            if name not in found:
                raise ValueError(f"{path}: expected the array {name!r}, got {', '.join(sorted(found)) or 'none'}")
        outputs = cls(**{name: found[name] for name in cls._fields})
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


def spread(n: int, most: int) -> NDArray[np.int64]:
    """Choose positions evenly from 0 to n - 1.

    Args:
        n: number of positions.
        most: how many are chosen at most.

    Returns:
        Increasing, shape (min(n, most),).
    """
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
