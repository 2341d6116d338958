import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conr.density.regions import GROUPS
from conr.runs import Outputs, RunResult
from conr.runs.choice import read_choice, write_choice


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
        ({"train_seconds": 10**400}, "train_seconds: expected a number of at least 0, got 1000"),
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
            "bins.train_counts[0]: expected a whole number of at least 0, got -1",
        ),
        ({"epochs": -1}, "epochs: expected a whole number of at least 0, got -1"),
        (
            {"bins": {"edges": [[0.0, 1.0]], "train_counts": [1], "regions": ["rare"]}},
            "bins.regions[0]: expected 'many' or 'median' or 'few', got 'rare'",
        ),
        (
            {"bins": {"edges": [[0.0, 1.0]], "train_counts": [1.5], "regions": ["few"]}},
            "bins.train_counts[0]: expected a whole number of at least 0, got 1.5",
        ),
        ({"train_seconds": -0.5}, "train_seconds: expected a number of at least 0, got -0.5"),
        ({"metrics": {"all": {}}}, "expected the key 'metrics.all.count', found none"),
        (
            {"metrics": {key: {"count": 2.5, "mae": 1.0} for key in GROUPS}},
            "metrics.all.count: expected a whole number of at least 0 or null, got 2.5",
        ),
        (
            {"metrics": {key: {"count": 2, "mae": -1.0} for key in GROUPS}},
            "metrics.all.mae: expected a number of at least 0 or null, got -1.0",
        ),
    ],
)
def test_wrong_content(tmp_path: Path, broken: dict[str, Any] | list[Any], message: str) -> None:
    path = example().write(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | broken if isinstance(broken, dict) else broken))
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        RunResult.read(tmp_path)


def test_correlations_and_errors_of_other_datasets_may_be_negative(tmp_path: Path) -> None:
    metrics = {key: {"count": 2.0, "bias": -1.0, "pearson": -0.5} for key in GROUPS}
    example(metrics=metrics, headline="bias").write(tmp_path)
    assert RunResult.read(tmp_path).metrics == metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": -1.0}, "leaderboard[0].seconds: expected a number of at least 0, got -1.0"),
        ({"bmae": -1.0}, "leaderboard[0].bmae: expected a number of at least 0 or null, got -1.0"),
    ],
)
def test_a_choice_has_no_negative_errors(change: dict[str, float], message: str, tmp_path: Path) -> None:
    errors = dict.fromkeys((*GROUPS, "bmae"), 1.0)
    path = write_choice(
        tmp_path,
        objective="bmae",
        leaderboard=[{"name": "blend", **errors, "weight": 1.0, "seconds": 2.0, **change}],
        tradeoff={"limit": [None], **{key: [1.0] for key in errors}, "chosen": 0},
        unfinished=[],
        coverage=0.9,
        intervals={key: {"count": 3.0, "coverage": 1.0, "set_width": math.nan, "width": 2.0} for key in GROUPS},
    )
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_choice(tmp_path)
    content = json.loads(path.read_text())
    content["leaderboard"][0] |= {"seconds": 2.0, "bmae": None}
    content["intervals"]["all"]["coverage"] = 1.5
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="coverage: expected a number of at least 0 and at most 1 or null, got"):
        read_choice(tmp_path)


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
