"""The page about the estimator: its tables are those of the result files, and these are what they say they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.estimator_defaults import CANDIDATES, LENGTH
from benchmarks.estimator_speed import summary
from benchmarks.estimator_tables import BASELINES, NETWORKS, TABLES
from docs.estimator_tables import comparison, defaults
from docs.tables import ROOT

from conr.estimators import ConRRegressor
from conr.methods.lengths import default_epochs

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "how-to" / "scikit-learn.md"


def _run(table: str, method: str, seed: int, few: float) -> dict[str, Any]:
    regions = {"few": {"mae": few, "bmae": 0.0}, "all": {"mae": 0.0, "bmae": 10 - few}}
    return {"table": table, "method": method, "seed": seed, "metrics": regions, "seconds": 2.0}


def test_the_result_files_hold_runs_of_the_comparison() -> None:
    runs = json.loads((RESULTS / "estimator_tables.json").read_text())["runs"]
    assert {run["table"] for run in runs} <= set(TABLES)
    assert {run["method"] for run in runs} <= {*BASELINES, *NETWORKS}
    keys = [(run["table"], run["method"], run["seed"]) for run in runs]
    assert len(set(keys)) == len(keys)
    assert all(run["metrics"]["few"]["mae"] > 0 and run["seconds"] > 0 for run in runs)


def test_the_defaults_were_chosen_on_validation_rows_alone() -> None:
    cases = json.loads((RESULTS / "estimator_defaults.json").read_text())["cases"]
    assert all(case["table"] in TABLES and case["candidate"] in CANDIDATES for case in cases)
    assert all("validation" in case and "metrics" not in case for case in cases)
    chosen = ConRRegressor().get_params()
    last = dict(CANDIDATES[-1])
    length = last.pop(LENGTH)
    assert {name: chosen[name] for name in last} == last
    for rows in (500, 5000):
        assert default_epochs(rows, 128) == pytest.approx(length * default_epochs(rows, 128, to_end=True), abs=1)


def test_candidates_are_compared_with_the_first(tmp_path: Path) -> None:
    def case(candidate: dict[str, Any], table: str, few: float) -> dict[str, Any]:
        found = _run(table, "", 0, few)
        return {"table": table, "candidate": candidate, "seed": 0, "validation": found["metrics"], "seconds": few}

    path = tmp_path / "runs.json"
    cases = [case({"members": 8}, "one", 1.0), case({"members": 8}, "two", 2.0), case({"members": 4}, "one", 2.0)]
    cases.append(case({"members": 4}, "two", 2.0))
    path.write_text(json.dumps({"cases": cases}))
    made = defaults(path)
    assert "| members | time | all tables | one | two |" in made
    assert "| 8 | +0 | +0 / +0 | +0 / +0 | +0 / +0 |" in made
    assert "| 4 | +41 | +41 / -6 | +100 / -11 | +0 / +0 |" in made
    path.write_text(json.dumps({"cases": cases[:-1]}))
    with pytest.raises(ValueError, match=r"expected runs of {'members': 4} on 2 tables and seeds, got 1"):
        defaults(path)


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


def test_speed_is_a_ratio_of_versions_and_the_worst_table_is_named() -> None:
    def case(table: str, old: float, new: float) -> dict[str, Any]:
        both = ({"seconds": seconds, "bmae": error, "few": 1.0, "mae": 1.0} for seconds, error in ((8, old), (2, new)))
        return {"table": table, "method": "sqinv", **dict(zip(("old", "new"), both, strict=True))}

    found = summary([case("one", 1.0, 2.0), case("one", 1.0, 0.5), case("two", 1.0, 4.0)])["sqinv"]
    assert found["cases"] == 3
    assert (found["times_as_fast"], found["least_times_as_fast"]) == (pytest.approx(4), 4)
    assert found["bmae"] == {"ratio": pytest.approx(2), "worst": pytest.approx(4), "worst_table": "two"}
    assert found["few"]["ratio"] == pytest.approx(1)
