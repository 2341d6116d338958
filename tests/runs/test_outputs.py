import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runs.test_results import outputs

from conr.runs import Outputs
from conr.runs import reading as module
from conr.runs.outputs import MOST_FEATURES, evenly_chosen


def test_outputs_round_trip(tmp_path: Path) -> None:
    assert outputs().write(tmp_path) == tmp_path / "outputs.npz"
    for written, read in zip(outputs(), Outputs.read(tmp_path), strict=True):
        assert written.dtype == read.dtype
        np.testing.assert_array_equal(written, read)
    assert [path.name for path in tmp_path.iterdir()] == ["outputs.npz"]


def test_outputs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected outputs.npz in .*, found none"):
        Outputs.read(tmp_path)
    path = outputs().write(tmp_path)
    npy = io.BytesIO()
    np.save(npy, np.zeros(3))
    path.write_bytes(npy.getvalue())
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a complete NumPy archive")):
        Outputs.read(tmp_path)
    np.savez(path, ids=np.asarray(["a"]), labels=np.zeros(1))
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected the array 'predictions', got ids, labels")):
        Outputs.read(tmp_path)
    np.savez(path, ids=np.asarray([{"code": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Outputs.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": np.asarray(["a"])}, r"ids: expected shape \(4,\), got \(1,\)"),
        ({"predictions": np.zeros((4, 1))}, r"predictions: expected shape \(4,\), got \(4, 1\)"),
        ({"feature_labels": np.zeros(2)}, r"feature_labels: expected shape \(3,\), got \(2,\)"),
        ({"features": np.zeros(3)}, r"features: expected shape \(m, d\), got \(3,\)"),
        ({"labels": np.zeros((4, 1, 1))}, r"labels: expected shape \(n,\) or \(n, k\), got \(4, 1, 1\)"),
        ({"ids": np.asarray([None] * 4)}, "ids: expected numbers or strings, got an array of Python objects"),
    ],
)
def test_outputs_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outputs()._replace(**changes).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_features_of_at_most_so_many_samples_and_within_half_precision() -> None:
    labels = np.arange(3 * MOST_FEATURES, dtype=np.float64)
    made = Outputs.of(labels.astype(str), labels, labels, lambda kept: 1e6 * np.stack((labels, -labels), 1)[kept])
    assert made.features.shape == (MOST_FEATURES, 2)
    assert made.features[-1].tolist() == [65504, -65504]
    assert made.feature_labels[[0, -1]].tolist() == [0, len(labels) - 1]
    assert evenly_chosen(3, 10).tolist() == [0, 1, 2]


def test_an_archive_that_unpacks_to_more_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = outputs().write(tmp_path)
    monkeypatch.setattr(module, "MOST_ARRAY_BYTES", 100)
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a complete NumPy archive")):
        Outputs.read(tmp_path)
