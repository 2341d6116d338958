"""The verb ``bench``: datasets x methods x seeds, with a table and a report at the end; and ``ablate``."""

import os
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from conr._checks import check_choice, check_number
from conr.cli.parsing import parse, split_settings, verb_parser

DESCRIPTION = """Train and test every method on every dataset with every seed, print the table, write the report.

A method is a name that `conr presets` lists after the dataset, or several joined with +, such as lds+conr. On tables it
can also be MODEL[+WEIGHTS][>MAP], such as hgb+sqinv or 'catboost+inv>isotonic': hgb, lightgbm, catboost, tabm, realmlp,
or the blend of RareRegressor, rare or rare-boosting. Add settings as for `conr fit`; they apply to all runs:
--trainer.max_epochs 5. --data.NAME.OPTION applies to one dataset: --data.sts-b-dir.root DIR. --settings FILE has the
settings tuned for a method on a dataset. Finished runs are not repeated: to continue a killed grid, repeat the command.

--grid varies settings of ConR (window, temperature, beta, distance_scale, views, push) one at a time around each
preset that has it, and plots the error over each; the preset's own value is always among the points. beta is ConR's
coefficient in the loss, views the mode of the module (two, original+two, three, one), push the form of the push (exp,
linear). power varies the weights of any method that weights by counts, which become N^-power (sqinv is 0.5); sampling
varies the power of balanced sampling. With and without ConR (--methods sqinv sqinv+conr) these two give a frontier.
"""


def ablate(options: Sequence[str]) -> int:
    """`bench` of ConR's settings, in its own folder and with three seeds."""
    if not any(word.startswith(("--grid", "--help", "-h")) for word in options):
        raise ValueError("grid: expected settings of ConR, as in --grid window=0.5,1,2 push=exp,linear, got none")
    return bench(["--methods=conr", "--seeds=3", "--out=runs/ablation", *options])


def bench(options: Sequence[str]) -> int:
    """Run the grid; the exit status is 1 if a run failed."""
    own, settings = split_settings(options)
    chosen = parse(_parser(), own)
    from rich.console import Console

    from conr import bench as grids
    from conr._progress import working
    from conr.bench.tasks import check_options
    from conr.bench.workers import prepare_backend
    from conr.cli.grid import count, run_with_bars, show_failures
    from conr.report import load_runs, terminal_table, write_report
    from conr.runs.results import RESULT

    root, console = Path(chosen.out), Console()
    datasets, shared = grids.with_options(grids.grid_datasets(chosen.datasets), settings)
    if chosen.baseline is not None:
        check_choice("baseline", chosen.baseline, chosen.methods)
    tasks = grids.grid_tasks(datasets, chosen.methods, chosen.seeds)
    if chosen.settings is not None:
        tasks = grids.with_method_settings(tasks, grids.read_method_settings(Path(chosen.settings)))
    if chosen.grid:
        tasks = grids.with_grid(tasks, grids.read_grid(chosen.grid))
    check_number("jobs", chosen.jobs, low=1)
    check_options(tasks, shared)
    prepare_backend(chosen.backend)
    methods = len({task.name for task in tasks})
    console.print(
        f"{count(len(tasks), 'run')}: {count(len(datasets), 'dataset')}, {count(methods, 'method')}, "
        f"{count(chosen.seeds, 'seed')} each. They are kept in {root}.",
        markup=False,
        soft_wrap=True,
    )
    folders = run_with_bars(console, tasks, root, settings=shared, jobs=chosen.jobs, backend=chosen.backend)
    done = [folder for folder in folders if (folder / RESULT).is_file()]
    if done:
        names = {task.name for task, folder in zip(tasks, folders, strict=True) if folder in done}
        baseline = chosen.baseline if chosen.baseline in names else None
        for group in load_runs(done, baseline=baseline):
            console.print(terminal_table(group))
        with working("drawing the report"):
            page = write_report(done, root / "report.html", baseline=baseline, title="Comparison of methods")
        console.print(f"report: {page.resolve()}", markup=False, soft_wrap=True)
    ablations = grids.measure(tasks, folders)
    for ablation in ablations:
        page, *_ = grids.write_ablation(ablation, root / "ablation" / ablation.dataset / ablation.method)
        console.print(f"settings of {ablation.method}: {page.resolve()}", markup=False, soft_wrap=True)
    for one in grids.frontiers(ablations):
        _, picture = grids.write_frontier(one, root / "frontier" / one.dataset / one.method / one.axis)
        saved = f"{one.gain:.3g} {one.unit}".strip()
        console.print(
            f"{one.method}, {one.axis}: at equal many-shot error ConR saves {saved} of few-shot error: "
            f"{picture.resolve()}",
            markup=False,
            soft_wrap=True,
        )
    return show_failures(console, folders)


def _parser() -> ArgumentParser:
    parser = verb_parser("bench", DESCRIPTION)
    parser.add_argument(
        "--datasets",
        "--dataset",
        type=str,
        nargs="+",
        required=True,
        help="names of datasets; table:FILE:TARGET is a CSV or Parquet file",
    )
    parser.add_argument(
        "--methods", "--method", type=str, nargs="+", required=True, help="names of methods, single or joined with +"
    )
    parser.add_argument(
        "--grid", type=str, nargs="+", default=[], help="NAME=VALUE,VALUE,..., such as window=0.5,1,2 push=exp,linear"
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at the same time")
    parser.add_argument(
        "--backend", type=str, default="local", help="where they run: local, on this machine, or ray, on a cluster"
    )
    parser.add_argument("--out", type=str, default="runs/bench", help="folder of the runs and of report.html")
    parser.add_argument(
        "--settings",
        type=str | None,
        default=None,
        help="YAML file of settings by dataset and method: DATASET: {METHOD: {model.NAME: VALUE}}",
    )
    parser.add_argument("--baseline", type=str | None, default=None, help="method to compare with (default: vanilla)")
    return parser
