"""Runs a grid of datasets, methods and seeds: what is finished stays, what was killed goes on."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Manager
from pathlib import Path
from typing import Any

import yaml
from joblib import Parallel, delayed, parallel_config

from conr._checks import check_number
from conr.bench.baselines import applying_settings, check_baseline, is_baseline, run_baseline
from conr.configs import preset_config
from conr.training.command import run_command
from conr.training.results import RESULT
from conr.training.run_folder import CONFIG, LAST_CHECKPOINT

Report = Callable[["Task", int], None]
"""Called with a task and how many of its epochs have ended since the last call."""

_QUIET = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


@dataclass(frozen=True)
class Task:
    """One run of a grid: a preset by its dataset and method, and a seed."""

    dataset: str
    method: str
    seed: int

    @property
    def preset(self) -> str:
        """Name of the preset."""
        return f"{self.dataset}-{self.method}"


def grid_tasks(datasets: Iterable[str], methods: Iterable[str], seeds: int) -> list[Task]:
    """All runs of a grid, seed by seed, so that a grid that is stopped early has compared all methods.

    Raises:
        ValueError: an unknown dataset or method, methods that contradict each other, or fewer than one seed.
    """
    check_number("seeds", seeds, low=1)
    pairs = [(dataset, method) for dataset in datasets for method in methods]
    tasks = [Task(dataset, method, seed) for seed in range(seeds) for dataset, method in pairs]
    for task in tasks[: len(pairs)]:
        _check_method(task)  # fails now, not after an hour
    return tasks


def task_epochs(task: Task, options: Mapping[str, Any]) -> int:
    """Epochs of a task with the given options, both stages together; see `run_grid`. 1 for a baseline without any."""
    if is_baseline(task.method):
        return 1
    config = preset_config(task.preset)
    second = options.get("rrt.epochs", config.get("rrt", {}).get("epochs", 0))
    return int(options.get("trainer.max_epochs", config["trainer"]["max_epochs"])) + int(second)


def run_grid(
    tasks: Sequence[Task],
    root: Path,
    *,
    options: Mapping[str, Any] | None = None,
    jobs: int = 1,
    report: Report | None = None,
) -> list[Path]:
    """Train and test every task that has no result yet.

    Args:
        tasks: the runs.
        root: folder of all runs: a task goes to ROOT/DATASET/METHOD/seed-SEED.
        options: settings that differ from the preset, such as ``{"trainer.max_epochs": 2}``; the same for all.
        jobs: processes; each gets its share of the cores.
        report: told of the progress of each task.

    Returns:
        The folder of each task, in their order.

    Raises:
        ValueError: ``root`` holds a run of a task with other settings.
    """
    check_number("jobs", jobs, low=1)
    settings = dict(options or {})
    for task in tasks:
        folder = _started(task, root)
        if folder is not None:
            _check_settings(folder, applying_settings(settings) if is_baseline(task.method) else settings)
    if jobs == 1:
        return [_run(task, root, settings, report) for task in tasks]
    with Manager() as manager:
        queue = manager.Queue()
        listener = threading.Thread(target=_forward, args=(queue, report))
        listener.start()
        try:
            with parallel_config("loky", n_jobs=jobs):
                return list(Parallel()(delayed(_run_reporting)(task, root, settings, queue) for task in tasks))
        finally:
            queue.put(None)
            listener.join()


def _run(task: Task, root: Path, settings: Mapping[str, Any], report: Report | None) -> Path:
    def tell(epochs: int) -> None:
        if report is not None:
            report(task, epochs)

    epochs = task_epochs(task, settings)
    folder = _started(task, root)
    if folder is not None and (folder / RESULT).is_file():
        tell(epochs)
        return folder
    if is_baseline(task.method):
        folder = folder or root / task.dataset / task.method / f"seed-{task.seed}"
        run_baseline(task.dataset, task.method, seed=task.seed, folder=folder, settings=settings)
        tell(epochs)
        return folder
    seen = 0

    def on_epoch(epoch: int) -> None:
        nonlocal seen
        tell(epoch + 1 - seen)
        seen = epoch + 1

    if folder is not None:
        folder = run_command(["fit", "--resume", str(folder), *_QUIET], on_epoch=on_epoch)
    else:
        given = [f"--{name}={value}" for name, value in settings.items()]
        start = ["fit", "--config", task.preset, f"--seed_everything={task.seed}", f"--output.root={root}"]
        folder = run_command([*start, *given, *_QUIET], on_epoch=on_epoch)
    run_command(["test", "--run", str(folder), *_QUIET], show_metrics=False)
    tell(epochs - seen)
    return folder


def _check_method(task: Task) -> None:
    if is_baseline(task.method):
        check_baseline(task.dataset, task.method)
    else:
        preset_config(task.preset)


def _run_reporting(task: Task, root: Path, settings: Mapping[str, Any], queue: Any) -> Path:
    return _run(task, root, settings, lambda task, epochs: queue.put((task, epochs)))


def _forward(queue: Any, report: Report | None) -> None:
    while (news := queue.get()) is not None:
        if report is not None:
            report(*news)


def _started(task: Task, root: Path) -> Path | None:
    """The folder of the task that got furthest: with a result, else with a checkpoint, else with a configuration."""
    parent = root / task.dataset / task.method
    folders = [folder for folder in sorted(parent.glob(f"seed-{task.seed}*")) if _is_of_seed(folder, task.seed)]
    for mark in (Path(RESULT), LAST_CHECKPOINT, Path(CONFIG)):
        for folder in folders:
            if (folder / mark).is_file():
                return folder
    return None


def _is_of_seed(folder: Path, seed: int) -> bool:
    return folder.name == f"seed-{seed}" or folder.name.startswith(f"seed-{seed}-")


def _check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    path = folder / CONFIG
    if not path.is_file():
        return
    found = yaml.safe_load(path.read_text())
    for name, wanted in settings.items():
        value: Any = found
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value != wanted:
            raise ValueError(
                f"{folder}: expected a run with {name} = {wanted}, got one with {value}: name another folder for these "
                "runs, or remove this one"
            )
