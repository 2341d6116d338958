"""The verb ``tune``: settings of ConR by their validation error, within a budget."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conr._checks import check_number
from conr.cli.parsing import parse, split_settings, verb_parser

DESCRIPTION = """Search for the settings of ConR that have the lowest validation error, with Optuna.

  conr tune --dataset table:houses.csv:price --trials 30
  conr tune --dataset rotated-digits --method sqinv+conr --metric val/bmae --minutes 60 --seeds 2
  conr tune --dataset abalone --space window=1..4 beta=0.1..10 weights=none,sqinv,inv
  conr fit --config runs/tuning/abalone/conr/best.yaml

By default it searches window, beta and temperature around the preset's values, and the weights of the criterion unless
the method has weights. LOW..HIGH is a range, VALUE,VALUE,... are choices; you can also search distance_scale, views and
push. The test split is not evaluated. Repeat the command to continue a search that was stopped or killed; more --trials
make it longer. Add settings of the runs as for `conr bench`: --trainer.max_epochs 20.
"""


def search(options: Sequence[str]) -> int:
    """Search, print the best point beside the preset, write configuration, numbers and pictures."""
    own, settings = split_settings(options)
    parser = verb_parser("tune", DESCRIPTION)
    parser.add_argument("--dataset", type=str, required=True, help="a dataset, or table:FILE:TARGET")
    parser.add_argument("--method", type=str, default="conr", help="a method with ConR, such as rrt+conr")
    parser.add_argument("--space", type=str, nargs="+", default=[], help="NAME=LOW..HIGH or NAME=VALUE,VALUE,...")
    parser.add_argument(
        "--metric", type=str | None, default=None, help="validation metric to minimise (default: the preset's monitor)"
    )
    parser.add_argument("--trials", type=int, default=20, help="total number of points, including earlier calls")
    parser.add_argument("--minutes", type=float | None, default=None, help="start no new point after this many minutes")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each point; more runs separate luck from merit")
    parser.add_argument(
        "--out", type=str, default="runs", help="folder of the runs and of the results, tuning/DATASET/METHOD"
    )
    chosen = parse(parser, own)
    from rich.console import Console

    from conr.bench import grid_datasets, with_options
    from conr.bench.factors import default_space, preset_point, read_space
    from conr.bench.tasks import check_options
    from conr.bench.tuning import Tuning, best_trial, default_metric, draw_tuning, tune, write_tuning
    from conr.cli.grid import bars, count
    from conr.report.tables import TextTable

    (dataset,), shared = with_options(grid_datasets([chosen.dataset]), settings)
    of_data = tuple((name, shared.pop(name)) for name in list(shared) if name.startswith("data."))
    dataset = replace(dataset, options=(*of_data, *dataset.options))
    tuning = Tuning(
        dataset=dataset,
        method=chosen.method,
        metric=chosen.metric or default_metric(dataset, chosen.method),
        seeds=chosen.seeds,
        space=read_space(chosen.space) if chosen.space else default_space(dataset, chosen.method),
        options=shared,
        root=Path(chosen.out),
    )
    check_number("trials", chosen.trials, low=1)
    check_options(tuning.tasks({}, 0), {})
    console = Console(highlight=False)
    budget = count(chosen.trials, "point") + ("" if chosen.minutes is None else f" or {chosen.minutes:g} minutes")
    console.print(
        f"{budget}, {count(chosen.seeds, 'seed')} each, by {tuning.metric}. Kept in {tuning.folder}.",
        markup=False,
        soft_wrap=True,
    )
    with bars(console) as progress:
        points = progress.add_task("search", total=chosen.trials, unit="points")
        runs = progress.add_task("point", total=None, unit="epochs")

        def report(number: int, done: int, total: int) -> None:
            progress.update(runs, completed=done, total=total)
            progress.update(points, completed=number + (done == total))

        trials = tune(tuning, trials=chosen.trials, minutes=chosen.minutes, report=report)
    files = [*write_tuning(tuning, trials), *draw_tuning(tuning)]
    best, own_point = best_trial(trials), preset_point(tuning.dataset, tuning.method, tuning.space) or {}
    preset = next((trial.score for trial in trials if trial.values == own_point), None)
    failed = sum(trial.state == "failed" for trial in trials)
    title = count(len(trials), "point") + (f", {failed} of which failed" if failed else "")
    header = ("setting", "preset", f"best (trial {best.number})")
    rows = [(name, _text(own_point.get(name)), _text(best.values[name])) for name in tuning.space]
    rows.append((tuning.metric, _text(preset), _text(best.score)))
    console.print(TextTable.of(title, header, rows, words=header).terminal())
    for path in files:
        console.print(f"written: {path.resolve()}", markup=False, soft_wrap=True)
    console.print(f"to train with them: conr fit --config {files[0]}", markup=False, soft_wrap=True)
    return 0


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
