"""The verb ``demo``: ConR against the same training without it, on real digits, with a report."""

import os
from collections.abc import Sequence
from pathlib import Path

from conr.cli.parsing import parse, verb_parser

CORE = {"rotated-digits": ("vanilla", "conr")}
FULL = {
    "rotated-digits": ("vanilla", "conr", "sqinv", "sqinv+conr"),
    "abalone": ("vanilla", "conr", "sqinv", "sqinv+conr"),
}


def demo(options: Sequence[str]) -> int:
    """Train, test, print the table and write the page and the picture; the exit status is 1 if a run failed."""
    parser = verb_parser("demo", "Train with and without ConR on real digits; write a report.")
    parser.add_argument("--full", action="store_true", help="also run reweighting (SQINV) and the abalone table")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each method")
    parser.add_argument("--epochs", type=int | None, default=None, help="epochs of each run (default: the preset's)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at the same time")
    parser.add_argument(
        "--out", type=str, default="runs/demo", help="folder of the runs; finished ones are not repeated"
    )
    chosen = parse(parser, options)

    from rich.console import Console

    from conr._progress import working
    from conr.bench import grid_tasks
    from conr.cli.grid import run_with_bars, show_failures
    from conr.report import load_runs, picture, terminal_table, write_report

    root = Path(chosen.out)
    grid = FULL if chosen.full else CORE
    tasks = [task for name, methods in grid.items() for task in grid_tasks([name], methods, chosen.seeds)]
    settings = {} if chosen.epochs is None else {"trainer.max_epochs": chosen.epochs}
    console = Console()
    total = ", ".join(f"{len(methods)} methods on {name}" for name, methods in grid.items())
    console.print(f"{len(tasks)} runs: {total}, {chosen.seeds} seeds each. They are kept in {root}.", markup=False)
    folders = run_with_bars(console, tasks, root, settings=settings, jobs=chosen.jobs)
    if show_failures(console, folders):
        return 1
    for group in load_runs([root]):
        console.print(terminal_table(group))
    with working("drawing the report"):
        page = write_report([root], root / "report.html", title="What ConR does to rare labels")
        image = picture([root / "rotated-digits"], root / "picture.png")
    console.print(f"report:  {page.resolve()}\npicture: {image.resolve()}", markup=False, soft_wrap=True)
    return 0
