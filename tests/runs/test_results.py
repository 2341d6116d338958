import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conr.runs import Outputs, RunResult


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


def test_no_result(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"expected result.json in {tmp_path}, found none")):
        RunResult.read(tmp_path)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"schema": "conr.result/2"}, "schema: expected 'conr.result/1', got 'conr.result/2'"),
        ([], "expected names with values, got []"),
        ({"bins": None}, "bins: expected names with values, got None"),
        ({"seed": 10**400}, "seed: expected a whole number or null, got 1000"),
        ({"train_seconds": 10**400}, "train_seconds: expected a number, got 1000"),
        ({"epochs": True}, "epochs: expected a whole number of at least 0, got True"),
        (
            {"bins": {"edges": [[0.0, 1.0], [0.0]], "train_counts": [], "regions": []}},
            "bins.edges: expected two or more",
        ),
        ({"bins": {"edges": [[0.0, 1.0]], "train_counts": [1, 2], "regions": []}}, "bins.train_counts: expected 1,"),
        (
            {"bins": {"edges": [[1.0, 0.0]], "train_counts": [1], "regions": ["few"]}},
            "bins.edges: expected two or",
        ),
        (
            {"bins": {"edges": [[0.0, 1.0]], "train_counts": [-1], "regions": ["few"]}},
            "bins.train_counts: expected",
        ),
        ({"epochs": -1}, "epochs: expected a whole number of at least 0, got -1"),
        (
            {"bins": {"edges": [[0.0, 1.0]], "train_counts": [1], "regions": ["rare"]}},
            "bins.regions[0]: expected 'many' or 'median' or 'few', got 'rare'",
        ),
        ({"metrics": {"all": {}}}, "expected the key 'metrics.all.count', found none"),
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
    ["seed", "label.unit", "metrics.few", "metrics.few.mae"],
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
