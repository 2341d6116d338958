import io
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conr.density import REGIONS
from conr.runs import result_check
from conr.runs.results import Outputs, RunResult, find_runs, read_history


def example(**changes: Any) -> RunResult:
    values = dict.fromkeys(("mae", "mse", "rmse", "gm", "bmae", "pearson", "spearman"), 1.5)
    content: dict[str, Any] = {
        "dataset": "rotated-digits",
        "method": "conr",
        "seed": 3,
        "label": {"name": "angle", "unit": "degrees"},
        "bins": {"edges": [[0.0, 1.0, 2.0]], "train_counts": [200, 5], "regions": ["many", "few"]},
        "metrics": {
            "all": {"count": 4.0} | values,
            "many": {"count": 4.0} | values,
            "median": {"count": 0.0} | dict.fromkeys(values, math.nan),
            "few": {"count": 0.0} | dict.fromkeys(values, math.inf),
        },
        "headline": "mae",
        "checkpoint": {"path": None, "epoch": None, "monitor": "val/mae", "value": None},
        "epochs": 30,
        "train_seconds": 12.3,
        "versions": {"conr": "0.1.0"},
        "hardware": {"device": "cpu", "threads": 1},
        "created": "2026-01-01T00:00:00+00:00",
    } | changes
    return RunResult(**content)


def outputs() -> Outputs:
    labels = np.arange(4, dtype=np.float32)
    return Outputs(np.asarray(["a", "b", "c", "d"]), labels, labels + 1, np.ones((3, 2), np.float16), labels[:3])


def test_regions_are_the_library_s() -> None:
    """The file format stands alone, so it repeats these names."""
    assert ("all", *REGIONS) == result_check.REGIONS


def test_result_round_trip(tmp_path: Path) -> None:
    assert example().write(tmp_path) == tmp_path / "result.json"
    content = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert content["schema"] == "conr.result/1"
    assert content["metrics"]["median"]["mae"] is None
    assert content["metrics"]["few"]["gm"] is None
    read = RunResult.read(tmp_path)
    assert math.isnan(read.metrics["median"]["mae"])
    assert read.metrics["all"] == example().metrics["all"]
    for name in ("dataset", "seed", "label", "bins", "checkpoint", "train_seconds", "versions", "created"):
        assert getattr(read, name) == getattr(example(), name)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_peak_memory_may_be_unknown_and_is_not_in_older_files(tmp_path: Path) -> None:
    for known in (123_456_789, None):
        path = example(peak_memory=known).write(tmp_path)
        assert json.loads(path.read_text())["peak_memory"] == known
        assert RunResult.read(tmp_path).peak_memory == known
    content = json.loads(path.read_text())
    del content["peak_memory"]
    path.write_text(json.dumps(content))
    assert RunResult.read(tmp_path).peak_memory is None


def test_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example(method="old").write(tmp_path)

    def full_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        example(method="new").write(tmp_path)
    assert RunResult.read(tmp_path).method == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_result_missing_or_truncated(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"expected result.json in {tmp_path}, found none")):
        RunResult.read(tmp_path)
    path = example().write(tmp_path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected a complete JSON file")):
        RunResult.read(tmp_path)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"schema": "conr.result/2"}, "expected schema 'conr.result/1', got 'conr.result/2'"),
        ([], "expected schema 'conr.result/1', got None"),
        ({"bins": None}, "expected the key 'bins.edges', found none"),
        ({"metrics": {"all": {}}}, "expected the key 'metrics.many', found none"),
    ],
)
def test_wrong_content(tmp_path: Path, broken: dict[str, Any] | list[Any], message: str) -> None:
    path = example().write(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | broken if isinstance(broken, dict) else broken))
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        RunResult.read(tmp_path)


@pytest.mark.parametrize(
    "key",
    ["dataset", "seed", "label.unit", "bins.regions", "metrics.few", "metrics.few.mae", "checkpoint.epoch", "created"],
)
def test_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = example().write(tmp_path)
    content = json.loads(path.read_text())
    inner = content
    *parents, last = key.split(".")
    for parent in parents:
        inner = inner[parent]
    del inner[last]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected the key '{key}', found none")):
        RunResult.read(tmp_path)


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
    whole = path.read_bytes()
    npy = io.BytesIO()
    np.save(npy, np.zeros(3))
    damaged = whole[:100] + b"damage" + whole[106:]
    for broken in (whole[: len(whole) // 2], b"", b"no archive", damaged, npy.getvalue()):
        path.write_bytes(broken)
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


def write_csv(run_dir: Path, version: int, text: str) -> Path:
    path = run_dir / "csv" / f"version_{version}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_history_keeps_the_last_value_of_an_epoch(tmp_path: Path) -> None:
    """Sparse rows as Lightning writes them; the learning rate is logged without an epoch, before the epoch's rows."""
    write_csv(
        tmp_path,
        0,
        "epoch,lr-Adam,step,train/loss,val/mae\n,0.1,0,,\n0,,4,3.0,\n0,,9,2.5,\n0,,9,,8.0\n,0.05,10,,\n1,,19,,nan\n,0.01,20,,\n",
    )
    history = read_history(tmp_path)
    assert list(history) == ["lr-Adam", "train/loss", "val/mae"]
    assert history["lr-Adam"] == [(0, 0.1), (1, 0.05)]
    assert history["train/loss"] == [(0, 2.5)]
    assert history["val/mae"][0] == (0, 8.0)
    assert history["val/mae"][1][0] == 1
    assert math.isnan(history["val/mae"][1][1])


def test_history_of_a_resumed_run(tmp_path: Path) -> None:
    """Version 10 comes after version 2; epoch 1 was trained in both."""
    write_csv(tmp_path, 2, "epoch,step,val/mae,old\n0,9,8.0,1\n1,19,7.0,1\n")
    write_csv(tmp_path, 10, "epoch,step,val/mae\n1,19,6.5\n2,29,6.0\n")
    history = read_history(tmp_path)
    assert history == {"old": [(0, 1.0), (1, 1.0)], "val/mae": [(0, 8.0), (1, 6.5), (2, 6.0)]}


def test_history_without_an_end_or_a_start(tmp_path: Path) -> None:
    assert read_history(tmp_path) == {}
    write_csv(tmp_path, 0, "epoch,step,val/mae\n0,9,8.0\n1,19,7.1234e-")
    assert read_history(tmp_path) == {"val/mae": [(0, 8.0)]}


def test_history_with_a_cell_that_is_no_number(tmp_path: Path) -> None:
    path = write_csv(tmp_path, 0, "epoch,step,val/mae\n0,9,8.0\n1,19,broken\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 3, column val/mae: expected a number, got 'broken'")):
        read_history(tmp_path)


def test_find_runs(tmp_path: Path) -> None:
    runs = [tmp_path / "b" / "seed-0", tmp_path / "a" / "x" / "seed-1", tmp_path / "a" / "x" / "seed-0"]
    for run in runs:
        run.mkdir(parents=True)
        example().write(run)
    (tmp_path / "unfinished").mkdir()
    assert find_runs([tmp_path]) == [runs[2], runs[1], runs[0]]
    assert find_runs([runs[0] / "result.json", tmp_path / "a", runs[0]]) == [runs[2], runs[1], runs[0]]


def test_find_runs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected at least one result.json.*, found none in .*"):
        find_runs([tmp_path])
    with pytest.raises(FileNotFoundError, match="found none in an empty list of paths"):
        find_runs([])
    with pytest.raises(FileNotFoundError, match=re.escape(f"found nothing at {tmp_path / 'typo'}")):
        find_runs([tmp_path / "typo"])
