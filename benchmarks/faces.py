"""Does ConR help on real faces? Settings chosen on validation, then methods with and without ConR, bound and frontiers.

12,000 training pictures of UTKFace-DIR, drawn once with the imbalance kept, 32 x 32, a small residual network from
scratch, 12 epochs of batches of 64 with two random crops and mirror images each.

1. Search: the learning rate without any method holds for all. Then every method gets eight trials of its own one or
   two numbers, one number after the other at the best of the others: ConR's coefficient over three decades, then its
   window of 1, 3 or 5 years, its temperature of 0.3 or 0.1, and a finer step of the coefficient. ConR is searched alone
   and beside the chosen weights N^-p; ``sqinv`` below stands for these weights. A mix takes what its parts chose. What
   counts is the lowest validation MAE of an epoch, of a seed that is none of the comparison's; no test split is seen.
2. Comparison: three seeds of each method and mix, five of the main ones, and of the bound: no method, but as many
   pictures spread over the ages as evenly as they allow.
3. Frontiers: weights N^-p, p from 0 to 1, with and without ConR, two seeds.

``python -m benchmarks.faces --data DIR``, where DIR is the folder or the zip archive of the pictures, goes on where it
was stopped. ``--only search``, ``runs`` or ``frontiers`` runs one part. Trials and choice go to
``results/faces/tuning.json`` and ``settings.yaml``, the runs to ``--out``, what they are and found to
``results/faces/*.runs.jsonl`` and ``frontier.json``. No picture is written.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from joblib import Parallel, delayed
from rich.console import Console

from benchmarks.timing import environment
from conr.bench import EVERY, GridDataset, Task, frontiers, grid_tasks, measure, with_grid, with_method_settings
from conr.bench.frontier import write_frontier
from conr.bench.grid import train_task
from conr.cli.grid import run_with_bars, show_failures
from conr.data import UTKFace
from conr.report import load_runs, terminal_table
from conr.runs.atomic import write_text
from conr.runs.history import read_history
from conr.runs.results import RESULT
from conr.runs.runs import SUFFIX, Run, read_runs, write_runs

RESULTS = Path(__file__).parents[1] / "results" / "faces"
TUNING, SETTINGS = "tuning.json", "settings.yaml"
PARTS = ("search", "runs", "frontiers")

SIZE, TRAIN_SIZE, EPOCHS, CHANNELS = 32, 12_000, 12, [16, 32, 64]
TRIALS, TRIAL_SEED = 8, 100
SEEDS, MAIN_SEEDS, FRONTIER_SEEDS = 3, 5, 2
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
BOUND = "even"

MAIN = ("vanilla", "conr", "sqinv", "sqinv+conr")
OTHERS = ("lds", "fds", "ranksim", "bmc")
METHODS = (*MAIN, *(f"{method}{mix}" for method in OTHERS for mix in ("", "+conr")), "rrt", "conr+rrt")

Options = dict[str, Any]

_OPTIMIZER = "model.optimizer.init_args"
_DENSITY = "model.criterion_density.init_args"
_SMOOTHING = "model.smoothing.init_args"
_CONR = "model.regularizers.conr"
_RANKSIM = "model.regularizers.ranksim"


class Finer(NamedTuple):
    """Values of a setting as factors of the best one so far."""

    setting: str
    factors: tuple[float, ...]


Stage = list[Options] | Finer
"""Trials that differ from the best of the stages before in one number each."""


def _values(setting: str, *values: Any) -> Stage:
    return [{setting: value} for value in values]


def _kernels(part: str, *sigmas: float) -> Stage:
    """Gaussian kernels that reach two deviations."""
    return [{f"{part}.sigma": sigma, f"{part}.kernel_size": 2 * round(2 * sigma) + 1} for sigma in sigmas]


def _powers(*powers: float) -> Stage:
    return [{f"{_DENSITY}.scheme": "power", f"{_DENSITY}.power": power} for power in powers]


_OF_CONR: list[Stage] = [
    [
        {f"{_CONR}.loss.init_args.window": 3.0, f"{_CONR}.loss.init_args.temperature": 0.3, f"{_CONR}.coefficient": one}
        for one in (0.1, 1.0, 10.0, 100.0)
    ],
    _values(f"{_CONR}.loss.init_args.window", 1.0, 5.0),
    _values(f"{_CONR}.loss.init_args.temperature", 0.1),
    Finer(f"{_CONR}.coefficient", (3.0,)),
]
SEARCH: dict[str, list[Stage]] = {
    "vanilla": [
        _values(f"{_OPTIMIZER}.lr", 1e-3, 3e-4, 3e-3, 1e-2, 2e-3),
        _values(f"{_OPTIMIZER}.weight_decay", 1e-5, 1e-4, 1e-3),
    ],
    "sqinv": [_powers(0.5, 0.125, 0.25, 0.375, 0.625, 0.75, 0.875, 1.0)],
    "lds": [_kernels(_DENSITY, 2, 1, 4, 8), _powers(0.25, 0.375, 0.75, 1.0)],
    "fds": [_kernels(_SMOOTHING, 2, 1, 4, 8), _values(f"{_SMOOTHING}.momentum", 0.5, 0.7, 0.97, 0.99)],
    "ranksim": [
        _values(f"{_RANKSIM}.coefficient", 100.0, 1.0, 10.0, 30.0, 300.0),
        _values(f"{_RANKSIM}.loss.init_args.interpolation", 2.0, 20.0, 1000.0),
    ],
    "bmc": [_values("model.criterion.init_args.noise_scale", 10.0, 1.0, 2.0, 4.0, 6.0, 8.0, 14.0, 20.0)],
    "rrt": [
        _values("rrt.power", 0.5, 0.25, 0.75, 1.0),
        _values("rrt.epochs", 3, 20, 40),
        [{"rrt.new_head": False}],
    ],
    "conr": _OF_CONR,
    "sqinv+conr": _OF_CONR,
}
"""Stages of trials, by method. A preset's own value is among them, first where a method has one number."""

WAVES = (("vanilla",), tuple(method for method in SEARCH if method not in ("vanilla", "sqinv+conr")), ("sqinv+conr",))
"""Methods that are searched at a time: later ones build on what earlier ones chose."""


class Trial(NamedTuple):
    """One training of the search; ``validation`` is the lowest MAE of an epoch."""

    method: str
    trial: int
    settings: Options
    validation: float
    seconds: float


def dataset(root: str, *, epochs: int = EPOCHS, train_size: int = TRAIN_SIZE) -> GridDataset:
    """The dataset of all runs, with the network's shape."""
    options = {
        "data.root": root,
        "data.size": f"{SIZE}",
        "data.train_size": f"{train_size}",
        "trainer.max_epochs": f"{epochs}",
        "model.encoder.init_args.channels": f"{CHANNELS}",
    }
    return GridDataset("utkface-dir", f"utkface-dir-{train_size}", tuple(options.items()))


def begun_with(method: str, trials: Sequence[Trial]) -> Options:
    """Settings that a method's search starts from: those of the network, then those of its parts."""
    found: Options = {}
    for part in ("vanilla", *method.split("+")[:-1]):
        known = [one for one in trials if one.method == part]
        if known and part != method:
            found |= best(known).settings
    return found


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
    settings = {method: best([one for one in trials if one.method == method]).settings for method in SEARCH}
    network = settings.pop("vanilla")
    own = {method: _beside(found, network) for method, found in settings.items()}
    own["sqinv+conr"] = _beside(own["sqinv+conr"], own["sqinv"])
    return {EVERY: network, **own}


def _beside(settings: Mapping[str, Any], known: Mapping[str, Any]) -> Options:
    return {name: value for name, value in settings.items() if name not in known or known[name] != value}


def run_trial(found: GridDataset, method: str, trial: int, options: Options, root: Path) -> Trial:
    """Train without the test split, or go on with a training that was stopped."""
    torch.set_num_threads(1)
    task = Task(found.preset, method, TRIAL_SEED, (*found.options, *options.items()), f"trial-{trial}")
    folder = root / "trials" / found.name / task.name / f"seed-{TRIAL_SEED}"
    started = time.monotonic()
    train_task(task, folder, lambda _: None)
    seconds = time.monotonic() - started
    first = (
        int(dict(found.options)["trainer.max_epochs"]) if "rrt" in method.split("+") else 0
    )  # the head's epochs count
    values = [value for epoch, value in read_history(folder)["val/mae"] if epoch >= first]
    return Trial(method, trial, options, min(values), seconds)


def search(found: GridDataset, results: Path, out: Path, jobs: int, console: Console) -> dict[str, Options]:
    """Run the trials that are not recorded yet, write record and choice, and return the choice."""
    path = results / TUNING
    recorded = json.loads(path.read_text())["runs"] if path.is_file() else []
    trials = [Trial(**one) for one in recorded]
    for wave in WAVES:
        for stage in range(max(len(SEARCH[method]) for method in wave)):
            waiting = list(_waiting(wave, stage, trials))
            console.print(f"{len(trials)} of {TRIALS * len(SEARCH)} trials are recorded, {len(waiting)} run now")
            calls = (delayed(run_trial)(found, *one, out) for one in waiting)
            for trial in Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
                trials.append(trial)
                _write_record(path, trials)
    settings = chosen(trials)
    write_text(results / SETTINGS, yaml.safe_dump({found.name: settings}, sort_keys=False))
    return settings


def _waiting(wave: Sequence[str], stage: int, trials: Sequence[Trial]) -> Iterator[tuple[str, int, Options]]:
    done = {(one.method, one.trial) for one in trials}
    for method in wave:
        if stage < len(SEARCH[method]):
            for number, options in enumerate(stage_trials(method, stage, trials), start=first_trial(method, stage)):
                if (method, number) not in done:
                    yield method, number, options


def comparison(found: GridDataset, settings: Mapping[str, Options]) -> list[Task]:
    """The runs of the comparison and of the bound, seed by seed."""
    tasks = [task for task in grid_tasks([found], METHODS, MAIN_SEEDS) if task.seed < SEEDS or task.method in MAIN]
    bound = [
        replace(task, options=(*task.options, ("data.even", "true")), variant=BOUND)
        for task in grid_tasks([found], ["vanilla"], MAIN_SEEDS)
    ]
    return sorted(with_method_settings([*tasks, *bound], {found.name: dict(settings)}), key=lambda task: task.seed)


def frontier_tasks(found: GridDataset, settings: Mapping[str, Options]) -> list[Task]:
    """Weights by counts at several strengths, with and without ConR as it was chosen beside weights."""
    without_strength = {EVERY: settings[EVERY], "sqinv+conr": settings["sqinv+conr"]}
    tasks = grid_tasks([found], ["sqinv", "sqinv+conr"], FRONTIER_SEEDS)
    return with_grid(with_method_settings(tasks, {found.name: without_strength}), {"power": POWERS})


def collect(folders: Sequence[Path], path: Path) -> list[Path]:
    """Write results and configurations of finished runs into a file, without the folder of the pictures."""
    done = [folder for folder in folders if (folder / RESULT).is_file()]
    runs = []
    for run in read_runs(done) if done else []:
        config = run.config or {}
        config["data"]["init_args"]["root"] = UTKFace.__name__
        runs.append(Run(run.folder, run.result, config))
    if runs:
        write_runs(path, runs)
    return done


def main() -> int:
    """Search, compare, draw the frontiers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or zip archive of UTKFace")
    parser.add_argument("--out", type=Path, default=Path("runs/faces"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what is committed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer try the machinery out")
    parser.add_argument("--train-size", type=int, default=TRAIN_SIZE)
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    console = Console()
    found = dataset(given.data, epochs=given.epochs, train_size=given.train_size)
    UTKFace(root=given.data, size=SIZE, skip_bad=True).prepare_files()  # every run reads this file
    if "search" in given.only:
        settings = search(found, given.results, given.out, given.jobs, console)
    else:
        settings = yaml.safe_load((given.results / SETTINGS).read_text())[found.name]
    some_failed = 0
    if "runs" in given.only:
        folders = run_with_bars(console, comparison(found, settings), given.out, settings={}, jobs=given.jobs)
        done = collect(folders, given.results / f"{found.name}{SUFFIX}")
        for group in load_runs(done):
            console.print(terminal_table(group))
        some_failed |= show_failures(console, folders)
    if "frontiers" in given.only:
        tasks = frontier_tasks(found, settings)
        folders = run_with_bars(console, tasks, given.out / "frontiers", settings={}, jobs=given.jobs)
        collect(folders, given.results / f"frontiers{SUFFIX}")
        for frontier in frontiers(measure(tasks, folders)):
            console.print(f"{frontier.method}: ConR saves {frontier.gain:.2f} {frontier.unit} at equal many-shot error")
            write_frontier(frontier, given.results)
        some_failed |= show_failures(console, folders)
    return some_failed


def _write_record(path: Path, trials: Sequence[Trial]) -> None:
    order = sorted(trials, key=lambda one: (list(SEARCH).index(one.method), one.trial))
    lines = ",\n ".join(json.dumps(one._asdict()) for one in order)
    text = (
        f'{{"schema": "conr.grid_tuning/1",\n"trials": {TRIALS},\n"seed": {TRIAL_SEED},\n'
        f'"ran_on": {json.dumps(environment())},\n"runs": [\n {lines}\n]}}\n'
    )
    write_text(path, text)


if __name__ == "__main__":
    raise SystemExit(main())
