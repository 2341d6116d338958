"""Runs tasks into their folders: what is finished stays, what was killed goes on, what failed is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conr._checks import check_number
from conr.bench.baselines import applying_settings, is_baseline, run_baseline
from conr.bench.settings import check_settings
from conr.bench.tasks import Task, task_epochs
from conr.bench.workers import LOCAL, check_backend, possible_jobs, run_apart
from conr.methods.presets import preset_config
from conr.runs.failures import FAILURE, Failure
from conr.runs.folder import CONFIG, LAST_CHECKPOINT
from conr.runs.results import RESULT
from conr.training.command import run_command

Report = Callable[[Task, int], None]  # called with a task and how many of its epochs have ended since the last call

_QUIET = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


def run_grid(
    tasks: Sequence[Task],
    root: Path,
    *,
    options: Mapping[str, Any] | None = None,
    jobs: int = 1,
    backend: str = LOCAL,
    report: Report | None = None,
) -> list[Path]:
    """Train and test every task that has no result yet.

    A task that fails leaves ``failure.json`` in its folder (`conr.bench.failed` reads it) and stops no other; the next
    call tries it again.

    Args:
        tasks: the runs.
        root: folder of all runs: a task goes to ROOT/DATASET/METHOD/seed-SEED.
        options: settings that differ from the preset, such as ``{"trainer.max_epochs": 2}``; the same for all.
        jobs: processes; each gets its share of the cores.
        backend: "local", on this machine, or "ray", on a cluster of Ray, whose nodes share the folder ``root``.
        report: told of the progress of each task.

    Returns:
        The folder of each task, in their order.

    Raises:
        ValueError: an option that the dataset does not have, or ``root`` holds a run of a task with other settings.
        ImportError: the backend is not installed.
    """
    check_number("jobs", jobs, low=1)
    backend = check_backend(backend)
    shared = tuple((options or {}).items())
    chosen = [replace(task, options=(*shared, *task.options)) for task in tasks]
    folders = [_folder(task, root) for task in chosen]
    for task, folder in zip(chosen, folders, strict=True):
        if is_baseline(task.method):
            check_settings(folder, applying_settings(dict(task.options)), {})
            continue
        preset = preset_config(task.preset)
        del preset["output"]["method"]  # the folder is named after it, with its variant
        check_settings(folder, dict(task.options), preset)

    def tell(number: int, epochs: int) -> None:
        if report is not None and epochs:
            report(tasks[number], epochs)

    waiting = []
    for number, (task, folder) in enumerate(zip(chosen, folders, strict=True)):
        if (folder / RESULT).is_file():
            tell(number, task_epochs(task))
        else:
            (folder / FAILURE).unlink(missing_ok=True)
            waiting.append(number)
    if backend == LOCAL and possible_jobs(jobs) == 1:
        for number in waiting:
            _run_here(chosen[number], folders[number], partial(tell, number))
    elif waiting:
        run_apart(
            {number: (chosen[number], folders[number], task_epochs(chosen[number])) for number in waiting},
            run=run_recorded,
            jobs=jobs,
            backend=backend,
            report=tell,
        )
    return folders


def run_recorded(task: Task, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """Train and test a task into its folder, or leave there why not; arguments are those of `train_task`."""
    try:
        _run(task, folder, on_epoch)
    except Exception as error:  # noqa: BLE001  whatever stops a run must not stop the grid
        record_failure(task, folder, error)


def record_failure(task: Task, folder: Path, error: BaseException) -> None:
    """Leave in a task's folder why it has no result."""
    Failure.of(error, dataset=task.title, method=task.name, seed=task.seed).write(folder)


def _run(task: Task, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """The one place that runs a task into its folder; one that was begun there goes on."""
    if is_baseline(task.method):
        run_baseline(task.dataset, task.method, seed=task.seed, folder=folder, settings=dict(task.options))
        on_epoch(0)
        return
    train_task(task, folder, on_epoch)
    run_command(["test", "--run", str(folder), *_QUIET], show=False)


def train_task(task: Task, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """Train a task into its folder, without a test; one that was begun there goes on.

    Args:
        task: the run.
        folder: ROOT/DATASET/METHOD/seed-SEED.
        on_epoch: called with the number of each training epoch that has ended.

    Raises:
        ValueError, FileNotFoundError: as `conr.training.command.run_command`.
        KeyboardInterrupt: it was stopped by hand.
    """
    begun = (folder / CONFIG).is_file()
    new = [*task.arguments, f"--output.root={folder.parents[2]}"]  # ROOT/DATASET/METHOD/seed-SEED
    start = ["fit", "--resume", str(folder)] if begun else ["fit", *new]
    run_command([*start, *_QUIET], folder=folder, on_epoch=on_epoch, show=False)


def _run_here(task: Task, folder: Path, tell: Callable[[int], None]) -> None:
    seen = 0

    def on_epoch(epoch: int) -> None:
        nonlocal seen
        tell(epoch + 1 - seen)
        seen = epoch + 1

    run_recorded(task, folder, on_epoch)
    tell(task_epochs(task) - seen)


def _folder(task: Task, root: Path) -> Path:
    """The task's folder that got furthest, with a result, else a checkpoint, else a configuration; else a new one."""
    parent = root / task.title / task.name
    first = parent / f"seed-{task.seed}"
    folders = [first, *sorted(parent.glob(f"{first.name}-*"))]
    for mark in (Path(RESULT), LAST_CHECKPOINT, Path(CONFIG)):
        for folder in folders:
            if (folder / mark).is_file():
                return folder
    return first
