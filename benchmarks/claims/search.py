"""Settings by their validation error: equal budgets, one number after the other at the best of the others."""

import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from joblib import Parallel, delayed
from rich.console import Console

from benchmarks.claims.study import MIXES, SEARCH, SEARCHED, TRIALS, WAVES, Finer, Options, Study
from benchmarks.timing import environment
from conr.bench import EVERY, Task
from conr.bench.grid import train_task
from conr.runs.atomic import write_text
from conr.runs.history import read_history

TUNING, SETTINGS = "tuning.json", "settings.yaml"
TRIAL_SEED = 100


class Trial(NamedTuple):
    """One training of the search; ``validation`` is the lowest MAE of an epoch."""

    method: str
    trial: int
    settings: Options
    validation: float
    seconds: float


def begun_with(method: str, trials: Sequence[Trial]) -> Options:
    """Settings that a method's search starts from: those of the network, then those of its parts."""
    found: Options = {}
    for part in _parts(method):
        known = [one for one in trials if one.method == part]
        if known and part != method:
            found |= best(known).settings
    return found


def _parts(method: str) -> list[str]:
    """What a method builds on; what was chosen for ConR beside weights goes before what was chosen for it alone."""
    parts = method.split("+")
    if method == "sqinv+conr":
        return ["vanilla", "sqinv"]
    beside = ["sqinv+conr"] if {"conr", "sqinv"} <= set(parts) else []
    return ["vanilla", *parts, *beside]


def stage_trials(method: str, stage: int, trials: Sequence[Trial]) -> list[Options]:
    """Settings of the trials of a stage, given all trials of the stages before."""
    before = [one for one in trials if one.method == method and one.trial < first_trial(method, stage)]
    start = best(before).settings if before else begun_with(method, trials)
    this = SEARCH[method][stage]
    if isinstance(this, Finer):
        return [{**start, this.setting: start[this.setting] * factor} for factor in this.factors]
    return [{**start, **options} for options in this]


def first_trial(method: str, stage: int) -> int:
    """Number of the first trial of a stage."""
    return sum(len(one.factors) if isinstance(one, Finer) else len(one) for one in SEARCH[method][:stage])


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the lowest validation error; the first of equal ones."""
    return min(trials, key=lambda one: (one.validation, one.trial))


def chosen(trials: Sequence[Trial]) -> dict[str, Options]:
    """What the search chose, by method; "*" holds for all methods, and a mix has what differs from its parts."""
    found = {one.method for one in trials}
    settings = {
        method: best([one for one in trials if one.method == method]).settings for method in SEARCHED if method in found
    }
    network = settings.pop("vanilla")
    own = {method: _beside(found, network) for method, found in settings.items()}
    own["sqinv+conr"] = _beside(own["sqinv+conr"], own["sqinv"])
    for mix in best_mix(trials):
        if {"conr", "sqinv"} <= set(mix.split("+")):
            own[mix] = dict(own["sqinv+conr"])
    return {EVERY: network, **own}


def best_mix(trials: Sequence[Trial]) -> list[str]:
    """The mix whose trial has the lowest validation error; nothing before all mixes have been tried."""
    mixes = [one for one in trials if one.method in MIXES]
    return [best(mixes).method] if len(mixes) == len(MIXES) else []


def _beside(settings: Mapping[str, Any], known: Mapping[str, Any]) -> Options:
    return {name: value for name, value in settings.items() if name not in known or known[name] != value}


def train_trial(study: Study, method: str, options: Options, name: str, root: Path) -> Path:
    """Train without the test split, or go on with a training that was stopped; returns its folder."""
    torch.set_num_threads(1)
    found = study.dataset
    settings = dict(found.options) | {"trainer.max_epochs": f"{study.trial_epochs}"} | options
    task = Task(found.preset, method, TRIAL_SEED, tuple(settings.items()), name)
    folder = root / found.name / task.name / f"seed-{TRIAL_SEED}"
    train_task(task, folder, lambda _: None)
    return folder


def run_trial(study: Study, method: str, trial: int, options: Options, root: Path) -> Trial:
    """Train as `train_trial` does; the validation error of the best epoch."""
    started = time.monotonic()
    folder = train_trial(study, method, options, f"trial-{trial}", root / "trials")
    seconds = time.monotonic() - started
    first = study.trial_epochs if "rrt" in method.split("+") else 0  # the head's epochs count
    values = [value for epoch, value in read_history(folder)["val/mae"] if epoch >= first]
    return Trial(method, trial, options, min(values), seconds)


def search(
    study: Study, results: Path, out: Path, *, jobs: int, console: Console, methods: Container[str] = SEARCH
) -> list[Trial]:
    """Run the trials of some methods that are not recorded yet, write record and choice, and return all trials."""
    path = results / TUNING
    trials = recorded_trials(results)
    total = TRIALS * len(SEARCHED) + len(MIXES)
    for every in WAVES:
        wave = [method for method in every if method in methods]
        for stage in range(max((len(SEARCH[method]) for method in wave), default=0)):
            waiting = list(_waiting(wave, stage, trials))
            console.print(f"{len(trials)} of {total} trials are recorded, {len(waiting)} run now")
            calls = (delayed(run_trial)(study, *one, out) for one in waiting)
            for trial in Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
                trials.append(trial)
                _write_record(path, trials)
    write_text(results / SETTINGS, yaml.safe_dump({study.dataset.name: chosen(trials)}, sort_keys=False))
    return trials


def recorded_trials(results: Path) -> list[Trial]:
    """The trials of a record, none if there is none."""
    path = results / TUNING
    return [Trial(**one) for one in json.loads(path.read_text())["runs"]] if path.is_file() else []


def _waiting(wave: Sequence[str], stage: int, trials: Sequence[Trial]) -> Iterator[tuple[str, int, Options]]:
    done = {(one.method, one.trial) for one in trials}
    for method in wave:
        if stage < len(SEARCH[method]):
            for number, options in enumerate(stage_trials(method, stage, trials), start=first_trial(method, stage)):
                if (method, number) not in done:
                    yield method, number, options


def _write_record(path: Path, trials: Sequence[Trial]) -> None:
    order = sorted(trials, key=lambda one: (list(SEARCH).index(one.method), one.trial))
    lines = ",\n ".join(json.dumps(one._asdict()) for one in order)
    text = (
        f'{{"schema": "conr.grid_tuning/1",\n"trials": {TRIALS},\n"seed": {TRIAL_SEED},\n'
        f'"ran_on": {json.dumps(environment())},\n"runs": [\n {lines}\n]}}\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
