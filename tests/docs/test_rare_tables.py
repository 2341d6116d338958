"""The comparison of the blend with its candidates: it goes on where it was, and its tables say what its files hold."""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from benchmarks import rare_tables
from benchmarks.rare_tables import METHODS, RESULTS, SEEDS, TABLES, cells, dataset_of, keep, recorded
from docs.rare_tables import losses, means, values
from docs.tables import ROOT

from conr.runs.results import RunResult
from conr.runs.runs import Run, read_runs


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small table under the name of a large one."""
    random = np.random.default_rng(0)
    labels = np.floor(10 * random.random(300) ** 2)
    rows = np.column_stack((labels + random.normal(size=300), random.normal(size=300), labels))
    (tmp_path / "uci").mkdir()
    np.savetxt(tmp_path / "uci" / "concrete.csv", rows, delimiter=",", fmt="%.3f")
    monkeypatch.setattr(rare_tables, "TABLES", ("concrete",))
    return tmp_path


def compare(tables: Path, results: Path, *words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rare_tables", f"--data={tables}", f"--results={results}", *words])
        return rare_tables.main()


def test_what_is_in_the_files_is_not_repeated(tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "first"
    assert compare(tables, first, "--only", "hgb+mse", "--seeds", "1") == 0
    assert "1 trainings to run, 0 are there" in capsys.readouterr().out
    (file,) = first.iterdir()
    elsewhere = tmp_path / "elsewhere"  # another machine has the file alone
    elsewhere.mkdir()
    (elsewhere / file.name).write_bytes(file.read_bytes())
    assert compare(tables, elsewhere, "--only", "hgb", "hgb+mse", "--seeds", "1") == 0
    assert "1 trainings to run, 1 are there" in capsys.readouterr().out
    before, after = read_runs([first]), read_runs([elsewhere])
    assert [run.result.method for run in after] == ["hgb", "hgb+mse"]
    assert after[1].result == before[0].result
    assert after[1].config == before[0].config


def test_a_run_that_fails_stops_no_other(tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "uci" / "concrete.csv").write_text("no,table\n")
    assert compare(tables, tmp_path / "out", "--only", "hgb", "hgb+mse", "--seeds", "1") == 1
    printed = capsys.readouterr().out
    assert printed.count(": failed\nTraceback") == 2
    assert not (tmp_path / "out").exists()


def test_a_method_that_is_not_compared_is_one_line(tables: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"only: expected one of 'hgb\+mse', .*, got 'hgb\+mses'; did you mean"):
        compare(tables, tmp_path / "out", "--only", "hgb+mses")


def test_the_committed_runs_are_of_the_comparison_and_have_a_split_per_seed() -> None:
    known = {(dataset_of(table), method, seed) for table in TABLES for method in METHODS for seed in range(SEEDS)}
    assert {tuple(cell) for cell in cells(METHODS, SEEDS)} == known
    runs = recorded(RESULTS)
    assert runs
    for run in runs:
        assert (run.result.dataset, run.result.method, run.result.seed) in known
        assert run.config is not None
        arguments = run.config["data"]["init_args"]
        assert arguments["data_seed"] == run.result.seed
        assert not str(arguments.get("path", "")).startswith("/")


@cache
def committed_run() -> Run:
    return next(run for run in read_runs([ROOT / "results" / "grid"]) if run.result.dataset == "table-airfoil")


def made(method: str, dataset: str, seed: int, few: float, balanced: float) -> Run:
    """A run with errors of one's own."""
    source = committed_run()
    metrics = {group: dict(source.result.metrics[group]) for group in source.result.metrics}
    metrics["few"]["mae"], metrics["all"]["bmae"] = few, balanced
    result: RunResult = replace(source.result, dataset=dataset, method=method, seed=seed, metrics=metrics)
    return Run(Path(f"seed-{seed}"), result, {})


def test_changes_are_geometric_means_over_tables_of_means_over_seeds(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "rare-tables"
    networks = tmp_path / "benchmarks" / "results"
    networks.mkdir(parents=True)
    (networks / "estimator_tables.json").write_text('{"runs": []}')
    for seed in (0, 1):
        for dataset, factor, balanced in (("table-one", 2.0, 2.0), ("table-two", 0.5, 4.4)):
            keep(folder, made("hgb+mse", dataset, seed, 2.0 + seed, 4.0))
            keep(folder, made("hgb+mse+inv", dataset, seed, 2.0 + seed, 5.0))
            keep(folder, made("rare", dataset, seed, factor * (2.0 + seed), balanced))
    lines = {line.split(" | ")[0].strip("| `"): line for line in means(folder).splitlines()}
    assert lines["rare"].split(" | ")[1:5] == ["2", "4", "+0.0 %", "+0.0 %"]  # 2 and a half
    assert "| −25.8 % |" in lines["rare"]  # noqa: RUF001  the root of 0.5 * 1.1
    assert "| +25.0 % |" in lines["hgb+mse+inv"]
    assert lines["rare"].endswith("2.0 | 1.5 |")
    assert "1.25 ± 0.35" in values(folder)
    lost = losses(folder)
    assert "more than 3 % worse than the best: 1 of 2: table-two." in lost
    assert "| table-two | 2 |" in lost
    assert "`hgb+mse` | +10.0 % |" in lost
