"""The comparison of methods: equal budgets, and committed results that are what the record and the settings say."""

import json
from collections import Counter
from statistics import mode
from typing import Any

import pytest
import yaml
from benchmarks.grid import (
    BEFORE,
    BOOSTING,
    MIXES,
    RESULTS,
    SEEDS,
    SETTINGS,
    TRIAL_SEED,
    TRIALS,
    TUNED,
    TUNING,
    chosen,
    tasks_of,
    trial_options,
)

from conr.bench import GridDataset
from conr.methods.presets import preset_config
from conr.runs.runs import read_runs

LR = "model.optimizer.init_args.lr"


def record() -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads((RESULTS / TUNING).read_text())["runs"]
    return runs


@pytest.mark.parametrize("dataset", ["rotated-digits", "abalone", "table", "sts-b-dir"])
@pytest.mark.parametrize("method", TUNED)
def test_every_method_has_as_many_different_trials_and_begins_with_the_value_before(dataset: str, method: str) -> None:
    network = {} if method == "vanilla" else {LR: 0.5}
    trials = trial_options(dataset, method, network)
    assert len({json.dumps(one) for one in trials}) == len(trials) == TRIALS
    assert all(one[LR] == 0.5 for one in trials if method not in {"vanilla", "sqinv"})
    (varied,) = {name for one in trials for name in one} - {LR, "model.criterion_density.init_args.kernel_size"} or {LR}
    preset: Any = preset_config(f"{dataset}-{method}")
    for part in varied.split("."):
        preset = preset[part]
    assert trials[0][varied] == (0.5 if method == "sqinv" else BEFORE.get((dataset, method), preset))


def test_the_lowest_validation_error_is_chosen_and_ties_go_to_the_first() -> None:
    def run(method: str, trial: int, value: float, **settings: float) -> dict[str, Any]:
        return {"dataset": "a", "method": method, "trial": trial, "settings": settings, "validation": value}

    runs = [run("vanilla", 0, 2.0, lr=1.0), run("vanilla", 1, 1.0, lr=3.0)]
    runs += [run("conr", 1, 1.5, lr=3.0, beta=0.1), run("conr", 0, 1.5, lr=3.0, beta=1.0), run("sqinv", 0, 1.0, lr=3.0)]
    assert chosen(runs) == {"a": {"*": {"lr": 3.0}, "sqinv": {}, "conr": {"beta": 1.0}}}


def test_tasks_are_networks_on_all_datasets_and_boosting_on_tables() -> None:
    found = [GridDataset("rotated-digits", "rotated-digits"), GridDataset("abalone", "abalone")]
    tasks = tasks_of(found, {"abalone": {"*": {LR: 0.5}}})
    assert len(tasks) == SEEDS * (2 * len(TUNED + MIXES) + len(BOOSTING))
    assert [task.seed for task in tasks] == sorted(task.seed for task in tasks)
    assert TRIAL_SEED not in {task.seed for task in tasks}
    assert {task.title for task in tasks if task.method in BOOSTING} == {"abalone"}


def test_the_committed_record_has_the_same_budget_for_each_and_the_settings_are_its_choice() -> None:
    runs = record()
    counts = Counter((run["dataset"], run["method"]) for run in runs)
    assert len(counts) == 9 * len(TUNED)
    assert set(counts.values()) == {TRIALS}
    assert yaml.safe_load((RESULTS / SETTINGS).read_text()) == chosen(runs)


def test_the_committed_trials_are_those_that_the_script_makes() -> None:
    settings = yaml.safe_load((RESULTS / SETTINGS).read_text())
    for run in record():
        network = {} if run["method"] == "vanilla" else settings[run["dataset"]]["*"]
        preset = "table" if run["dataset"].startswith("table-") else run["dataset"]
        assert run["settings"] == trial_options(preset, run["method"], network)[run["trial"]]


def test_presets_of_small_networks_have_what_the_trials_chose() -> None:
    """The plain network of tables has the rate that most of the six chose."""
    settings = yaml.safe_load((RESULTS / SETTINGS).read_text())
    beta = "model.regularizers.conr.coefficient"
    for name in ("rotated-digits", "abalone"):
        model = preset_config(f"{name}-conr")["model"]
        found = (model["optimizer"]["init_args"]["lr"], model["regularizers"]["conr"]["coefficient"])
        assert found == (settings[name]["*"][LR], settings[name]["conr"][beta])
    rates = [its["*"][LR] for dataset, its in settings.items() if dataset.startswith("table-")]
    assert preset_config("table-mlp")["model"]["optimizer"]["init_args"]["lr"] == mode(rates)


def test_the_committed_runs_are_complete_and_have_the_chosen_settings() -> None:
    settings = yaml.safe_load((RESULTS / SETTINGS).read_text())
    runs = read_runs([RESULTS])
    seeds = Counter((run.result.dataset, run.result.method) for run in runs)
    networks = {(dataset, method) for dataset in settings for method in TUNED + MIXES}
    boosted = {
        (dataset, method) for dataset in settings for method in BOOSTING if "table" in dataset or dataset == "abalone"
    }
    assert seeds == dict.fromkeys(networks | boosted, SEEDS)
    for run in runs:
        dataset, method = run.result.dataset, run.result.method
        if method in BOOSTING:
            continue
        wanted: dict[str, float] = {}
        for part in ("*", *method.split("+")):
            wanted |= settings[dataset].get(part, {})
        for name, value in wanted.items():
            found: Any = run.config
            for part in name.split("."):
                found = found[part]
            assert float(found) == value, f"{run.folder}: {name}"
