"""The verb ``tune``: settings of ConR by their validation error, within a budget."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from conr.bench import grid_datasets, with_options
from conr.bench.grid import check_options
from conr.bench.tuning import Trial, Tuning, best_trial, default_metric, tune, write_tuning
from conr.bench.tuning_space import default_space, preset_point, read_space
from conr.cli.grid import split_settings
from conr.cli.help import HelpFormatter

DESCRIPTION = """Search for the settings of ConR that have the lowest validation error, with Optuna.

  conr tune --dataset table:houses.csv:price --trials 30
  conr tune --dataset rotated-digits --method sqinv+conr --metric val/bmae --minutes 60 --seeds 2
  conr tune --dataset abalone --space window=1..4 beta=0.1..10 weights=none,sqinv,inv
  conr fit --config runs/tuning/abalone/conr/best.yaml

Searched by default: window, beta and temperature around the preset's values, and the weights of the criterion unless
the method has some. LOW..HIGH is a range, VALUE,VALUE,... are choices; distance_scale, views and push can be searched
too. The test split is not evaluated. The same command goes on with a search that was stopped or killed; more --trials
make it longer. Settings of the runs can follow as for `conr bench`: --trainer.max_epochs 20.
"""


def search(options: Sequence[str]) -> int:
    """Search, print the best point beside the preset, write configuration, numbers and pictures."""
    own, settings = split_settings(options)
    parser = ArgumentParser(prog="conr tune", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("--dataset", type=str, required=True, help="a dataset, or table:FILE:TARGET")
    parser.add_argument("--method", type=str, default="conr", help="a method with ConR, such as rrt+conr")
    parser.add_argument("--space", type=str, nargs="+", default=[], help="NAME=LOW..HIGH or NAME=VALUE,VALUE,...")
    parser.add_argument(
        "--metric", type=str | None, default=None, help="validation metric to minimise (default: the preset's monitor)"
    )
    parser.add_argument("--trials", type=int, default=20, help="points in all, those of earlier calls among them")
    parser.add_argument("--minutes", type=float | None, default=None, help="no new point after so many minutes")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each point; more tell luck from merit")
    parser.add_argument(
        "--out", type=str, default="runs", help="folder of the runs, and of tuning/DATASET/METHOD with what was found"
    )
    chosen = parser.parse_args(own)
    (dataset,), shared = with_options(grid_datasets([chosen.dataset]), settings)
    tuning = Tuning(
        dataset=dataset,
        method=chosen.method,
        metric=chosen.metric or default_metric(dataset, chosen.method),
        seeds=chosen.seeds,
        space=read_space(chosen.space) if chosen.space else default_space(dataset, chosen.method),
        options=shared,
        root=Path(chosen.out),
    )
    check_options(tuning.tasks({}, 0), {})
    console = Console(highlight=False)
    budget = _count(chosen.trials, "point") + ("" if chosen.minutes is None else f" or {chosen.minutes:g} minutes")
    console.print(
        f"{budget}, {_count(chosen.seeds, 'seed')} each, by {tuning.metric}. Kept in {tuning.folder}.", soft_wrap=True
    )
    with _progress(console) as progress:
        points = progress.add_task("points", total=chosen.trials)
        runs = progress.add_task("epochs", total=None)

        def report(number: int, done: int, total: int) -> None:
            progress.update(runs, completed=done, total=total)
            progress.update(points, completed=number + (done == total))

        trials = tune(tuning, trials=chosen.trials, minutes=chosen.minutes, report=report)
    from conr.bench.tuning_pictures import draw_tuning

    files = [*write_tuning(tuning, trials), *draw_tuning(tuning, trials)]
    console.print(_summary(tuning, trials))
    for path in files:
        console.print(f"written: {path.resolve()}", markup=False, soft_wrap=True)
    console.print(f"to train with them: conr fit --config {files[0]}", markup=False, soft_wrap=True)
    return 0


def _summary(tuning: Tuning, trials: list[Trial]) -> Table:
    best = best_trial(trials)
    own = preset_point(tuning.dataset, tuning.method, tuning.space)
    preset = next((trial for trial in trials if trial.values == own), None)
    failed = sum(trial.state == "failed" for trial in trials)
    title = _count(len(trials), "point") + (f", {failed} of which failed" if failed else "")
    table = Table("setting", "preset", f"best (trial {best.number})", title=title)
    for name in tuning.space:
        table.add_row(name, "" if own is None else _text(own[name]), _text(best.values[name]))
    known = preset is not None and preset.score is not None
    table.add_row(tuning.metric, _text(preset.score) if known and preset else "", _text(best.score))
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
    )
