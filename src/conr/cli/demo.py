"""The verb ``demo``: what two remedies do for rare labels, a regularizer of a network and a boosted table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conr._extras import require
from conr.cli.parsing import parse, verb_parser

if TYPE_CHECKING:
    from conr.bench import Task

DIGITS, ABALONE, TABLE = "rotated-digits", "abalone", "sea-snails"
CORE = {DIGITS: ("vanilla", "conr")}
FULL = dict.fromkeys((DIGITS, ABALONE), ("vanilla", "conr", "sqinv", "sqinv+conr"))

SEEDS, EPOCHS = 3, 12
QUICK_SEEDS, QUICK_EPOCHS = 1, 8
SHORT = (("model.scheduler", "constant"), ("model.optimizer.init_args.lr", 0.005))
"""On digits, for few epochs: the lowest errors of twelve epochs in ``benchmarks/results/demo_epochs.json``."""

ABOUT = {
    DIGITS: "Real handwritten digits, each turned by an angle that a small network reads; large angles are rare in "
    "training, and the test has all angles alike. vanilla is the network as it is, conr the same with ConR.",
    TABLE: "The age of a sea snail, in rings, from eight measures in a CSV file; old snails are rare. Both are "
    "gradient boosting; RareRegressor may lose up to half on common ages (max_loss_on_many=0.5).",
}
_DESCRIPTION = """Train a network with and without ConR on digits, and a boosted table with and without RareRegressor.

It ends with a table here and a report to open in a browser. --quick has one seed and fewer epochs.
"""


def demo(options: Sequence[str]) -> int:
    """Train, test, print the tables and write the page and the picture; the exit status is 1 if a run failed."""
    parser = verb_parser("demo", _DESCRIPTION)
    parser.add_argument("--quick", action="store_true", help="one seed and fewer epochs: about a minute")
    parser.add_argument("--full", action="store_true", help="also run reweighting (SQINV), and networks on the table")
    parser.add_argument("--seeds", type=int | None, default=None, help=f"runs of each method (default: {SEEDS})")
    parser.add_argument("--epochs", type=int | None, default=None, help=f"of each run on digits (default: {EPOCHS})")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at the same time")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="folder of the runs, of which finished ones are not repeated (default: runs/demo, with --quick "
        "runs/demo-quick)",
    )
    chosen = parse(parser, options)
    if chosen.quick and chosen.full:
        raise ValueError("--quick: expected it without --full, got both")
    seeds, epochs = (QUICK_SEEDS, QUICK_EPOCHS) if chosen.quick else (SEEDS, EPOCHS)
    seeds = seeds if chosen.seeds is None else chosen.seeds
    root = Path(chosen.out or ("runs/demo-quick" if chosen.quick else "runs/demo"))
    require("conr demo", "mlxtend", "sklego", "pandas", "tabm", "safetensors")
    print(f"Two remedies for rare labels, each beside the same model without it. All files go to {root}.", flush=True)
    print("1. A network, with ConR: the angle of handwritten digits", flush=True)
    from rich.console import Console

    from conr._progress import working
    from conr.cli.grid import run_with_bars, show_failures
    from conr.report import load_runs, picture, terminal_table, write_report
    from conr.report.answer import answers_table

    console = Console()
    tasks = _tasks(FULL if chosen.full else CORE, seeds, epochs if chosen.epochs is None else chosen.epochs)
    settings = {} if chosen.epochs is None else {"trainer.max_epochs": chosen.epochs}
    folders = run_with_bars(console, tasks, root, settings=settings, jobs=chosen.jobs)
    if show_failures(console, folders):
        return 1
    print("2. A boosted table, with RareRegressor: the age of sea snails", flush=True)
    finished = [*folders, _boost(root)]
    with working("drawing the report"):
        page = write_report(finished, root / "report.html", title="What happened to the rare labels", about=ABOUT)
        image = picture([one for one in folders if one.parts[-3] == DIGITS], root / "picture.png")
    groups = load_runs(finished)
    for group in groups if chosen.full else ():
        console.print(terminal_table(group))
    console.print(answers_table(groups).terminal())
    console.print(f"report:  {page.resolve()}\npicture: {image.resolve()}", markup=False, soft_wrap=True)
    return 0


def _tasks(grid: Mapping[str, Sequence[str]], seeds: int, epochs: int) -> "list[Task]":
    from conr.bench import grid_tasks

    tasks = [task for name, methods in grid.items() for task in grid_tasks([name], methods, seeds)]
    short = (("trainer.max_epochs", epochs), *SHORT)
    return [replace(task, options=short) if task.dataset == DIGITS else task for task in tasks]


def _boost(root: Path) -> Path:
    """Fit `RareRegressor` without networks on the abalone table as a CSV file; return the folder of its run."""
    folder = root / TABLE / "boosting" / "seed-0"
    if (folder / "result.json").is_file():
        print("   (is there already)", flush=True)
        return folder
    from sklego.datasets import load_abalone

    from conr.estimators import RareRegressor, fit_table, write_run
    from conr.runs.atomic import write_csv

    rows = load_abalone(as_frame=True)
    path = root / "abalone.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, list(rows.columns), rows.to_numpy().tolist())
    fitted = fit_table(path, "rings", RareRegressor("boosting", max_loss_on_many=0.5, random_state=0, verbose=1))
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder, fitted.model, fitted.test, name=TABLE, seed=0, seconds=fitted.seconds)
    return folder
