"""The verb ``ablate``: what each setting of ConR does, one at a time around a preset."""

import os
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console

from conr.bench import FACTORS, ablation_tasks, grid_datasets, measure, with_options, write_ablation
from conr.bench.ablation import all_tasks, read_factors
from conr.bench.grid import check_options
from conr.bench.workers import BACKENDS, LOKY, prepare_backend
from conr.cli.grid import run_with_bars, show_failures, split_settings
from conr.runs.results import RESULT

DESCRIPTION = f"""Vary settings of ConR one at a time around a preset, and draw the error over each.

Settings: {", ".join(FACTORS)}. All others stay as the preset has them; the preset's own value is always among the
points, and its runs are shared. beta is ConR's coefficient in the loss, views the mode of the module (two,
original+two, three, one), push the form of the push (exp, linear). Settings of the runs can follow as for `conr bench`.
"""


def ablate(options: Sequence[str]) -> int:
    """Run the ablation; the exit status is 1 if a run failed."""
    own, settings = split_settings(options)
    parser = ArgumentParser(prog="conr ablate", description=DESCRIPTION)
    parser.add_argument("--dataset", type=str, required=True, help="a dataset, or table:FILE:TARGET")
    parser.add_argument("--method", type=str, default="conr", help="a method with ConR, such as sqinv+conr")
    parser.add_argument(
        "--grid", type=str, nargs="+", required=True, help="NAME=VALUE,VALUE,..., as window=0.5,1,2 push=exp,linear"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each value")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at the same time")
    parser.add_argument(
        "--backend", choices=BACKENDS, default=LOKY, help="where they run: this machine, or a Ray cluster"
    )
    parser.add_argument(
        "--out",
        type=str,
        default="runs/ablation",
        help="folder of the runs, and of ablation/DATASET/METHOD with the pictures",
    )
    chosen = parser.parse_args(own)
    root, console = Path(chosen.out), Console()
    factors = read_factors(chosen.grid)
    (dataset,), shared = with_options(grid_datasets([chosen.dataset]), settings)
    plan = ablation_tasks(dataset, chosen.method, factors, chosen.seeds)
    tasks = all_tasks(plan)
    check_options(tasks, shared)
    prepare_backend(chosen.backend)
    counts = ", ".join(f"{len(values)} of {name}" for name, values in plan.items())
    console.print(f"{len(tasks)} runs: values {counts}; {chosen.seeds} seeds. They are kept in {root}.", soft_wrap=True)
    folders = run_with_bars(console, tasks, root, settings=shared, jobs=chosen.jobs, backend=chosen.backend)
    if any((folder / RESULT).is_file() for folder in folders):
        ablation = measure(plan, dict(zip(tasks, folders, strict=True)))
        for path in write_ablation(ablation, root / "ablation" / ablation.dataset / chosen.method):
            console.print(f"written: {path.resolve()}", markup=False, soft_wrap=True)
    return show_failures(console, folders)
