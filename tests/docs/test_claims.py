"""The plan of runs for the paper's claims: equal budgets, stages that build on each other, records that resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.claims.__main__ import ablation_tasks, comparison, frontier_tasks
from benchmarks.claims.ideas import positives
from benchmarks.claims.records import collect, collect_dynamics, restore
from benchmarks.claims.search import Trial, best_mix, chosen, first_trial, run_trial, stage_trials
from benchmarks.claims.study import BOUND, METHODS, MIXES, POWERS, SEARCH, SEARCHED, TRIALS, WINDOWS, digits, faces
from tests.data.miniature.utkface import write_utkface

from conr.bench import EVERY, grid_tasks, run_grid
from conr.bench.tasks import check_options

LR = "model.optimizer.init_args.lr"
POWER = "model.criterion_density.init_args.power"
COEFFICIENT = "model.regularizers.conr.coefficient"
WINDOW = "model.regularizers.conr.loss.init_args.window"


def searched(better: dict[str, float]) -> list[Trial]:
    """All trials of a search in which the settings with these values have the lowest errors."""
    trials: list[Trial] = []
    for method in SEARCH:
        for stage in range(len(SEARCH[method])):
            for number, options in enumerate(stage_trials(method, stage, trials), start=first_trial(method, stage)):
                error = 10 - sum(options.get(name) == value for name, value in better.items()) + number / 100
                trials.append(Trial(method, number, options, error, 1.0))
    return trials


def test_every_method_has_the_same_number_of_different_trials() -> None:
    trials = searched({LR: 3e-3})
    for method in SEARCHED:
        settings = [tuple(sorted(one.settings.items())) for one in trials if one.method == method]
        assert len(set(settings)) == len(settings) == TRIALS, method
        assert all(one[LR] == 3e-3 for one in map(dict, settings)) == (method != "vanilla")


def test_later_stages_begin_with_the_best_of_the_earlier_ones() -> None:
    trials = searched({LR: 2e-3, POWER: 0.75, COEFFICIENT: 10.0, WINDOW: 5.0})
    last = next(one for one in trials if (one.method, one.trial) == ("conr", TRIALS - 1))
    assert (last.settings[COEFFICIENT], last.settings[WINDOW]) == (30.0, 5.0)
    settings = chosen(trials)
    assert settings[EVERY] == {LR: 2e-3}
    assert settings["sqinv"][POWER] == 0.75
    assert settings["conr"][COEFFICIENT] == 10.0
    assert settings["conr"][WINDOW] == settings["sqinv+conr"][WINDOW] == 5.0
    assert POWER not in settings["sqinv+conr"]
    assert LR not in settings["conr"]


def test_a_mix_has_what_its_parts_chose() -> None:
    trials = searched({LR: 2e-3, POWER: 0.75, COEFFICIENT: 10.0, WINDOW: 5.0})
    mixes = {one.method: one.settings for one in trials if one.method in MIXES}
    assert set(mixes) == set(MIXES)
    assert {LR: 2e-3, POWER: 0.75, WINDOW: 5.0}.items() <= mixes["sqinv+fds+conr"].items()
    assert COEFFICIENT not in mixes["sqinv+fds"]


def test_the_tasks_of_the_plan(tmp_path: Path) -> None:
    study = faces(str(write_utkface(tmp_path)), train_size=50)
    trials = searched({LR: 2e-3, POWER: 0.75, WINDOW: 5.0})
    settings, mix = chosen(trials), best_mix(trials)
    tasks = comparison(study, settings, mix)
    assert {task.name for task in tasks} == {*METHODS, *mix, f"vanilla,{BOUND}"}
    assert {task.title for task in tasks} == {study.dataset.name}
    both = next(task for task in tasks if task.name == "sqinv+conr")
    assert {LR: 2e-3, POWER: 0.75, WINDOW: 5.0}.items() <= dict(both.options).items()
    frontier = frontier_tasks(study, settings, settings["sqinv+conr"])
    strengths = [dict(task.options).get(POWER) for task in frontier if task.method == "sqinv" and task.seed == 0]
    assert strengths == [None, *(power for power in POWERS if power != 0.5)]  # the preset's own is 0.5
    beside = {task.method for task in frontier if dict(task.options).get(WINDOW) == 5.0}
    assert beside == {"sqinv+conr", "balanced-sampling+conr"}
    ablations = ablation_tasks(study, settings)
    assert [dict(task.options)[WINDOW] for task in ablations[: len(WINDOWS)]] == list(WINDOWS)
    check_options([*tasks[:3], tasks[-1], ablations[-1]], {})


def test_recorded_runs_are_not_run_again(tmp_path: Path) -> None:
    study = digits(epochs=1)
    tasks = grid_tasks([study.dataset], ["conr"], 1)
    folders = run_grid(tasks, tmp_path / "here")
    record = tmp_path / "runs.runs.jsonl"
    assert collect(folders, record) == folders
    dynamics = collect_dynamics(folders, tmp_path / "dynamics.json")["conr"]["seed-0"]
    assert len(dynamics["logged"]["anchors"]) == 1
    assert -1 <= dynamics["features"]["rank_correlation"] <= 1
    assert len(dynamics["map"]["x"]) == len(dynamics["map"]["label"]) == 1300

    restore(record, tmp_path / "elsewhere", None)
    (again,) = run_grid(tasks, tmp_path / "elsewhere")
    assert sorted(file.name for file in again.iterdir()) == ["config.yaml", "result.json"]
    assert collect_dynamics([again], tmp_path / "dynamics.json")["conr"]["seed-0"] == dynamics
    other = grid_tasks([digits(epochs=2).dataset], ["conr"], 1)
    with pytest.raises(ValueError, match=r"expected a run with trainer.max_epochs = 2"):
        run_grid(other, tmp_path / "elsewhere")


@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.parametrize("method", ["conr", "rrt"])
def test_a_trial_trains_on_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr("benchmarks.claims.search.torch.set_num_threads", lambda _: None)
    found = faces(str(write_utkface(tmp_path)), epochs=1, train_size=50)
    options: dict[str, Any] = {"rrt.epochs": 2} if method == "rrt" else {WINDOW: 3.0}
    trial = run_trial(found, method, 4, options, tmp_path / "runs")
    assert (trial.method, trial.trial, trial.settings) == (method, 4, options)
    assert 0 < trial.validation < 200
    assert not list(tmp_path.rglob("result.json"))
    again = run_trial(found, method, 4, options, tmp_path / "runs")
    assert again.validation == trial.validation


def test_positives_are_those_of_all_pictures_within_the_window() -> None:
    counts, regions = [5, 1, 0, 2], ["many", "few", "few", "median"]
    ages = np.repeat(np.arange(4), counts)
    for row in positives(counts, regions, batch=3):
        near = np.abs(ages[:, None] - ages) <= row["window"]
        met = 2 * (near.sum(axis=1) - 1) / (len(ages) - 1)  # two others of three, drawn without replacement
        for region in ("many", "median", "few"):
            own = np.array(regions)[ages] == region
            assert row[region] == pytest.approx(met[own].mean(), abs=1e-3)
