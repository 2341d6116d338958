"""Progress bars and the list of failures, for the verbs that run many runs."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from conr.bench import Task, failed, run_grid, task_epochs
from conr.report.tables import TextTable


def run_with_bars(
    console: Console,
    tasks: Sequence[Task],
    root: Path,
    *,
    settings: dict[str, str] | dict[str, int],
    jobs: int,
    backend: str = "local",
) -> list[Path]:
    """Run a grid, with a bar per dataset that knows the time left; returns the folder of each task."""
    epochs: dict[str, int] = {}
    for task in tasks:
        epochs[task.title] = epochs.get(task.title, 0) + task_epochs(task, settings)
    with bars(console) as progress:
        shown = {title: progress.add_task(title, total=total, unit="epochs") for title, total in epochs.items()}

        def report(task: Task, epochs: int) -> None:
            progress.advance(shown[task.title], epochs)

        return run_grid(tasks, root, options=settings, jobs=jobs, backend=backend, report=report)


def show_failures(console: Console, folders: Sequence[Path]) -> int:
    """Print what failed and where its traceback is; the exit status is 1 if anything did."""
    failures = failed(folders)
    if not failures:
        return 0
    header = ("dataset", "method", "seed", "error")
    rows = [(one.dataset, one.method, str(one.seed), one.error) for _, one in failures]
    title = f"{len(failures)} of {len(folders)} runs failed"
    console.print(TextTable.of(title, header, rows, words=header).terminal())
    for folder, _ in failures:
        console.print(f"why: {folder / 'failure.json'}", markup=False, soft_wrap=True)
    console.print("repeat the command to try them again", markup=False)
    return 1


def count(number: int, noun: str) -> str:
    """A number with its noun, "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def bars(console: Console) -> Progress:
    """Bars of tasks that count, with the time gone and left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[unit]},", markup=False),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
