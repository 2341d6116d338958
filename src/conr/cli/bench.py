"""The verb ``bench``: datasets x methods x seeds, with a table and a report at the end."""

import os
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console

from conr._checks import check_choice
from conr.bench import grid_datasets, grid_tasks, read_method_settings, with_method_settings, with_options
from conr.bench.grid import check_options
from conr.bench.workers import BACKENDS, LOKY, prepare_backend
from conr.cli.grid import run_with_bars, show_failures, split_settings
from conr.report import load_runs, terminal_table, write_report
from conr.runs.results import RESULT

DESCRIPTION = """Train and test every method on every dataset with every seed, print the table, write the report.

A method is a name that `conr presets` lists after the dataset, or several joined with +, as lds+conr. Settings of
the runs can follow as for `conr fit`, and hold for all: --trainer.max_epochs 5. --data.NAME.OPTION holds for one
dataset: --data.sts-b-dir.root DIR. --settings FILE holds what was tuned for a method on a dataset. What is finished is
not repeated: a killed grid goes on with the same command.
"""


def bench(options: Sequence[str]) -> int:
    """Run the grid; the exit status is 1 if a run failed."""
    own, settings = split_settings(options)
    parser = ArgumentParser(prog="conr bench", description=DESCRIPTION)
    parser.add_argument(
        "--datasets",
        type=str,
        nargs="+",
        required=True,
        help="names of datasets; table:FILE:TARGET is a CSV or Parquet file",
    )
    parser.add_argument(
        "--methods", type=str, nargs="+", required=True, help="names of methods, or several joined with +"
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at the same time")
    parser.add_argument(
        "--backend", choices=BACKENDS, default=LOKY, help="where they run: this machine, or a Ray cluster"
    )
    parser.add_argument("--out", type=str, default="runs/bench", help="folder of the runs and of report.html")
    parser.add_argument(
        "--settings",
        type=str | None,
        default=None,
        help="YAML file of settings by dataset and method: DATASET: {METHOD: {model.NAME: VALUE}}",
    )
    parser.add_argument("--baseline", type=str | None, default=None, help="method to compare with (default: vanilla)")
    chosen = parser.parse_args(own)
    root, console = Path(chosen.out), Console()
    datasets, shared = with_options(grid_datasets(chosen.datasets), settings)
    if chosen.baseline is not None:
        check_choice("baseline", chosen.baseline, chosen.methods)
    tasks = grid_tasks(datasets, chosen.methods, chosen.seeds)
    if chosen.settings is not None:
        tasks = with_method_settings(tasks, read_method_settings(Path(chosen.settings)))
    check_options(tasks, shared)
    prepare_backend(chosen.backend)
    console.print(
        f"{_count(len(tasks), 'run')}: {_count(len(datasets), 'dataset')}, "
        f"{_count(len(tasks) // (len(datasets) * chosen.seeds), 'method')}, {_count(chosen.seeds, 'seed')} each. "
        f"They are kept in {root}.",
        soft_wrap=True,
    )
    folders = run_with_bars(console, tasks, root, settings=shared, jobs=chosen.jobs, backend=chosen.backend)
    done = [folder for folder in folders if (folder / RESULT).is_file()]
    if done:
        methods = {task.name for task, folder in zip(tasks, folders, strict=True) if folder in done}
        baseline = chosen.baseline if chosen.baseline in methods else None
        for group in load_runs(done, baseline=baseline):
            console.print(terminal_table(group))
        page = write_report(done, root / "report.html", baseline=baseline, title="Comparison of methods")
        console.print(f"report: {page.resolve()}", markup=False, soft_wrap=True)
    return show_failures(console, folders)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
