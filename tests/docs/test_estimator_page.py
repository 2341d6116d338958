"""The page about the estimator: its tables are those of the result files, and these are what they say they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.estimator_tables import BASELINES, CANDIDATES, NETWORKS, SEEDS, START, TABLES, tasks
from docs.estimator_tables import PLANNED, comparison
from docs.tables import ROOT, rebuilt

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "how-to" / "scikit-learn.md"


def _run(table: str, method: str, seed: int, few: float) -> dict[str, Any]:
    regions = {"few": {"mae": few, "bmae": 0.0}, "all": {"mae": 0.0, "bmae": 10 - few}}
    return {"table": table, "method": method, "seed": seed, "metrics": regions, "seconds": 2.0}


def test_the_tables_are_what_the_result_files_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "Average rank" in text
    assert text == rebuilt(text, page=PAGE), f"{PAGE.name} is stale: run `make results`"


def test_the_result_files_hold_runs_of_the_comparison() -> None:
    runs = json.loads((RESULTS / "estimator_tables.json").read_text())["runs"]
    assert {run["table"] for run in runs} <= set(TABLES)
    assert {run["method"] for run in runs} <= {*BASELINES, *NETWORKS}
    keys = [(run["table"], run["method"], run["seed"]) for run in runs]
    assert len(set(keys)) == len(keys)
    assert all(run["metrics"]["few"]["mae"] > 0 and run["seconds"] > 0 for run in runs)


def test_a_comparison_that_is_not_finished_says_so() -> None:
    assert len(list(tasks(SEEDS))) == PLANNED
    runs = json.loads((RESULTS / "estimator_tables.json").read_text())["runs"]
    finished = len(runs) == PLANNED
    assert finished != (f"{len(runs)} of {PLANNED} trainings are done" in PAGE.read_text(encoding="utf-8"))


def test_the_search_is_recorded_with_its_start() -> None:
    record = json.loads((RESULTS / "estimator_search.json").read_text())
    assert record["start"] == START
    assert all(run["change"] in CANDIDATES and "validation" in run and "test" not in run for run in record["runs"])


def test_ranks_means_and_what_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    runs = [_run("one", "a", 0, 1.0), _run("one", "b", 0, 2.0), _run("one", "a", 1, 3.0), _run("one", "b", 1, 4.0)]
    runs += [_run("two", "a", 0, 5.0), _run("two", "b", 0, 5.0), _run("three", "a", 0, 0.0)]
    path.write_text(json.dumps({"runs": runs}))
    made = comparison(path)
    assert "| a | **1.25** | 1.75 | 2 |" in made
    assert "| b | 1.75 | **1.25** | 2 |" in made
    assert "| method | one (2) | two (1) |" in made
    assert "| a | **2.00** ± 1.41 | **5.00** |" in made
    assert "three" not in made
    path.write_text(json.dumps({"runs": runs[:1] + runs[-1:] + [_run("four", "b", 0, 1.0)]}))
    with pytest.raises(ValueError, match="expected a table and seed that all methods have run"):
        comparison(path)
