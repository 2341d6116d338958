"""Runs a grid of datasets, methods and seeds: what is finished stays, what was killed goes on, what failed is told."""

import difflib
import json
import shlex
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from conr._checks import check_choice, check_number
from conr.bench.baselines import HGB, TABLES, applying_settings, check_baseline, is_baseline, run_baseline
from conr.bench.datasets import TABLE, GridDataset
from conr.bench.settings import check_settings
from conr.bench.workers import BACKENDS, LOKY, run_apart
from conr.data.catalog import dataset_class
from conr.methods.presets import VANILLA, method_names, preset_config
from conr.runs.failures import FAILURE, Failure
from conr.runs.folder import CONFIG, LAST_CHECKPOINT
from conr.runs.results import RESULT
from conr.training.command import planned_data, run_command

Report = Callable[["Task", int], None]
"""Called with a task and how many of its epochs have ended since the last call."""

_QUIET = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


@dataclass(frozen=True)
class Task:
    """One run of a grid: a preset by its dataset and method, a seed, and settings that differ from the preset.

    Args:
        dataset: of the preset, such as "table".
        method: of the preset; several join with ``+``.
        seed: of the run.
        options: settings of this run, such as ``(("data.path", "houses.csv"),)``.
        variant: what options other than the dataset's make of the method, "window=0.5", so that results and folders
            tell it from the preset.
    """

    dataset: str
    method: str
    seed: int
    options: tuple[tuple[str, Any], ...] = ()
    variant: str = ""

    @property
    def preset(self) -> str:
        """Name of the preset."""
        return f"{self.dataset}-{self.method}"

    @property
    def name(self) -> str:
        """Name of the method in results and folders."""
        return f"{self.method},{self.variant}" if self.variant else self.method

    @property
    def title(self) -> str:
        """Name of the dataset in results and folders: of a table with its file, of a protocol with its settings."""
        return _title(self.dataset, tuple(flag for flag in self._flags if flag.startswith(("--data.", "--protocol"))))

    @property
    def arguments(self) -> list[str]:
        """The run as typed after ``conr fit``."""
        return [
            f"--config={self.preset}",
            f"--seed_everything={self.seed}",
            f"--output.method={self.name}",
            *self._flags,
        ]

    @property
    def _flags(self) -> list[str]:
        return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in self.options]


def grid_tasks(datasets: Iterable[str | GridDataset], methods: Iterable[str], seeds: int) -> list[Task]:
    """All runs of a grid, seed by seed, so that a grid that is stopped early has compared all methods.

    Raises:
        ValueError: an unknown dataset or method, methods that contradict each other, or fewer than one seed.
    """
    check_number("seeds", seeds, low=1)
    known = [GridDataset(one, one) if isinstance(one, str) else one for one in datasets]
    pairs = [(dataset, method) for dataset in known for method in dict.fromkeys(methods)]
    tasks = [Task(dataset.preset, method, seed, dataset.options) for seed in range(seeds) for dataset, method in pairs]
    for task in tasks[: len(pairs)]:
        _check_method(task)  # fails now, not after an hour
    return tasks


def check_options(tasks: Sequence[Task], options: Mapping[str, Any]) -> None:
    """Require options that runs can have, and tables that can be read, before anything runs.

    Args:
        tasks: the runs; the first of each dataset is looked at.
        options: as for `run_grid`.

    Raises:
        ValueError, FileNotFoundError: a table that cannot be used.
        SystemExit: options that do not parse; the message is printed.
        KeyboardInterrupt: it was stopped by hand.
    """
    seen = set()
    for task in tasks:
        if (task.dataset, task.options) not in seen:
            seen.add((task.dataset, task.options))
            data = planned_data(_planned(replace(task, options=(*options.items(), *task.options))).arguments)
            if task.dataset == TABLE:
                data.splits  # noqa: B018  reads the file


def task_epochs(task: Task, options: Mapping[str, Any] | None = None) -> int:
    """Epochs of a task with the options of its grid, of both stages together; see `run_grid`. 1 for a baseline."""
    if is_baseline(task.method):
        return 1
    given = {**(options or {}), **dict(task.options)}
    config = preset_config(task.preset)
    second = given.get("rrt.epochs", config.get("rrt", {}).get("epochs", 0))
    return int(given.get("trainer.max_epochs", config["trainer"]["max_epochs"])) + int(second)


def run_grid(
    tasks: Sequence[Task],
    root: Path,
    *,
    options: Mapping[str, Any] | None = None,
    jobs: int = 1,
    backend: str = LOKY,
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
        backend: joblib's: "loky" on this machine, "ray" on a cluster of Ray, whose nodes share the folder ``root``.
        report: told of the progress of each task.

    Returns:
        The folder of each task, in their order.

    Raises:
        ValueError: an option that the dataset does not have, or ``root`` holds a run of a task with other settings.
        ImportError: the backend is not installed.
    """
    check_number("jobs", jobs, low=1)
    check_choice("backend", backend, BACKENDS)
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
    if jobs == 1 and backend == LOKY:
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
    """Train and test a task into its folder, or leave there why not.

    Args:
        task: the run.
        folder: where it goes, or goes on.
        on_epoch: called with the number of each training epoch that has ended.
    """
    try:
        _run(task, folder, on_epoch)
    except SystemExit:  # the parser's way to end a command
        record_failure(task, folder, ValueError(f"options that do not parse: conr fit {shlex.join(task.arguments)}"))
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
    _command(["test", "--run", str(folder), *_QUIET], show=False)


def train_task(task: Task, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """Train a task into its folder, without a test; one that was begun there goes on.

    Args:
        task: the run.
        folder: ROOT/DATASET/METHOD/seed-SEED.
        on_epoch: called with the number of each training epoch that has ended.

    Raises:
        ValueError, FileNotFoundError: as `conr.training.command.run_command`.
        SystemExit: options that do not parse; the message is printed.
        KeyboardInterrupt: it was stopped by hand.
    """
    begun = (folder / CONFIG).is_file()
    new = [*task.arguments, f"--output.root={folder.parents[2]}"]  # ROOT/DATASET/METHOD/seed-SEED
    start = ["fit", "--resume", str(folder)] if begun else ["fit", *new]
    _command([*start, *_QUIET], folder=folder, on_epoch=on_epoch, show=False)


def _command(words: list[str], **named: Any) -> None:
    """Run a command whose Ctrl-C stops all: Lightning turns it into an exit, and ignores each that follows."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        run_command(words, **named)
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


def _run_here(task: Task, folder: Path, tell: Callable[[int], None]) -> None:
    seen = 0

    def on_epoch(epoch: int) -> None:
        nonlocal seen
        tell(epoch + 1 - seen)
        seen = epoch + 1

    run_recorded(task, folder, on_epoch)
    tell(task_epochs(task) - seen)


def _check_method(task: Task) -> None:
    if is_baseline(task.method):
        check_baseline(task.dataset, task.method)
        return
    wrong = [name for name in task.method.split("+") if name not in method_names(task.dataset)]
    if wrong and task.dataset in TABLES and difflib.get_close_matches(wrong[0], [HGB]):
        raise ValueError(f"method: expected one of the dataset's or {HGB!r}, got {wrong[0]!r}; did you mean {HGB!r}?")
    preset_config(task.preset)


def _planned(task: Task) -> Task:
    """A task with the same dataset that trains through the command line, as a baseline does not."""
    if not is_baseline(task.method):
        return task
    return replace(task, method=VANILLA, options=tuple(applying_settings(dict(task.options)).items()))


@cache
def _title(dataset: str, flags: tuple[str, ...]) -> str:
    if not flags:
        return dataset_class(dataset).name
    return planned_data([f"--config={dataset}-{VANILLA}", *flags]).title


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
