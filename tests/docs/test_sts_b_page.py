"""The numbers on the page of STS-B-DIR that no table of `docs/tables.py` holds are those of the result files."""

import json
from statistics import fmean, stdev
from typing import Any

import pytest
from docs.tables import ROOT

from conr.runs import read_runs

RESULTS = ROOT / "results" / "sts-b-dir"
PAGE = (ROOT / "docs" / "datasets" / "sts-b-dir.md").read_text(encoding="utf-8")
METHODS = ("vanilla", "conr", "lds", "lds+conr")


def _metrics(method: str) -> list[dict[str, Any]]:
    """Test metrics by region, a seed after the other."""
    runs = [run.result.metrics for run in read_runs([RESULTS]) if run.result.method == method]
    assert len(runs) == 5
    return runs


@pytest.mark.parametrize("method", METHODS)
def test_other_metrics(method: str) -> None:
    runs = _metrics(method)
    names = [(name, region) for name in ("pearson", "spearman", "mae", "gm") for region in ("all", "few")]
    cells = [f"{fmean(run[region][name] for run in runs):.3f}" for name, region in names]
    assert f"| {method} | {' | '.join(cells)} |" in PAGE


@pytest.mark.parametrize("method", METHODS)
def test_validation_errors_of_what_was_chosen(method: str) -> None:
    record = json.loads((RESULTS / "tuning.json").read_text())
    draw = record["chosen"][method]["draw"]
    runs = [run for run in record["runs"] if (run["method"], run["draw"]) == (method, draw)]
    mse, few = ([run[name] for run in runs] for name in ("mse", "mse_few"))
    assert f"| {method} | {draw} | {fmean(mse):.3f} ± {stdev(mse):.3f} | {fmean(few):.3f} |" in PAGE


def test_what_the_text_says_about_differences() -> None:
    def differences(region: str, one: str, two: str) -> list[float]:
        pairs = zip(_metrics(one), _metrics(two), strict=True)
        return [first[region]["mse"] - second[region]["mse"] for first, second in pairs]

    overall = differences("all", "conr", "vanilla")
    assert [f"{-fmean(overall):.3f}", f"{stdev(overall) / 5**0.5:.3f}"] == ["0.003", "0.004"]
    few = {method: fmean(run["few"]["mse"] for run in _metrics(method)) for method in METHODS}
    assert [round(100 * (1 - few[method] / few["vanilla"])) for method in ("conr", "lds")] == [2, 6]
    lower = [sum(value < 0 for value in differences("few", method, "vanilla")) for method in ("conr", "lds")]
    assert lower == [4, 5]
    on_top = differences("few", "lds+conr", "lds")
    assert [f"{fmean(on_top):.3f}", f"{stdev(on_top) / 5**0.5:.3f}"] == ["0.010", "0.013"]


def test_the_runs_are_those_of_the_presets_and_name_no_place() -> None:
    for run in read_runs([RESULTS]):
        assert run.config is not None
        assert run.config["data"]["init_args"]["root"] == "data/sts-b-dir"


def test_exploration() -> None:
    record = json.loads((RESULTS / "exploration.json").read_text())
    assert f"{len(record['runs'])} trainings" in PAGE

    def mse(settings: dict[str, Any]) -> str:
        return f"{fmean(run['mse'] for run in record['runs'] if run['settings'] == settings):.3f}"

    own = {"sentences": True}
    steps: tuple[dict[str, Any], ...] = ({}, own, {"views": "swap", **own}, {"views": "swap", "dropout": 0.5, **own})
    harmful = ({"views": "mix"}, {"views": "corrupt"})
    assert [mse(settings) for settings in (*steps, *harmful)] == ["0.593", "0.576", "0.571", "0.569", "0.722", "0.850"]
    assert all(value in PAGE for value in map(mse, (*steps, *harmful)))
