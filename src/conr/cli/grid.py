"""What the verbs that run a grid share: settings as typed, progress bars, and the failures at the end."""

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from conr.bench import Task, failed, run_grid, task_epochs

_SETTING = re.compile(r"--((?:data|model|trainer|protocol)\b.*)")


def split_settings(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate the settings of runs, ``--trainer.max_epochs 2``, from the verb's own options.

    Raises:
        ValueError: a setting without a value.
    """
    own, settings = [], {}
    waiting = iter(words)
    for word in waiting:
        found = _SETTING.fullmatch(word)
        if found is None:
            own.append(word)
            continue
        name, equals, value = found[1].partition("=")
        if not equals:
            value = next(waiting, "--")
            if value.startswith("--"):
                raise ValueError(f"--{name}: expected a value after it, got none")
        settings[name] = value
    return own, settings


def run_with_bars(
    console: Console,
    tasks: Sequence[Task],
    root: Path,
    *,
    settings: dict[str, str] | dict[str, int],
    jobs: int,
    backend: str = "loky",
) -> list[Path]:
    """Run a grid, with a bar per dataset that knows the time left; returns the folder of each task."""
    epochs: dict[str, int] = {}
    for task in tasks:
        epochs[task.title] = epochs.get(task.title, 0) + task_epochs(task, settings)
    with _progress(console) as progress:
        bars: dict[str, TaskID] = {title: progress.add_task(title, total=total) for title, total in epochs.items()}

        def report(task: Task, epochs: int) -> None:
            progress.advance(bars[task.title], epochs)

        return run_grid(tasks, root, options=settings, jobs=jobs, backend=backend, report=report)


def show_failures(console: Console, folders: Sequence[Path]) -> int:
    """Print what failed and where its traceback is; the exit status is 1 if anything did."""
    failures = failed(folders)
    if not failures:
        return 0
    table = Table("dataset", "method", "seed", "error", title=f"{len(failures)} of {len(folders)} runs failed")
    for _, failure in failures:
        table.add_row(*map(escape, (failure.dataset, failure.method, str(failure.seed), failure.error)))
    console.print(table)
    for folder, _ in failures:
        console.print(f"why: {folder / 'failure.json'}", markup=False, soft_wrap=True)
    console.print("the same command tries them again", markup=False)
    return 1


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} epochs,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
