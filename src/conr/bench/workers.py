"""Tasks of a grid in processes of their own: joblib's backends, progress, and what to do when a process dies."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from conr._extras import require
from conr._notes import show_warnings_as_notes
from conr.runs.atomic import write_text
from conr.runs.failures import FAILURE, Failure
from conr.runs.results import RESULT

LOKY, RAY = "loky", "ray"
BACKENDS = (LOKY, RAY)

Recorded = Callable[[Any, Path, Callable[[int], None]], None]
"""Runs a task into a folder and tells of its epochs; what goes wrong is left there as a failure."""

_RUNNING = ".epochs"
_WATCH = "conr: ends with its parent"
_SECONDS = 0.5


def run_apart(
    work: Mapping[int, tuple[Any, Path, int]],
    *,
    run: Recorded,
    jobs: int,
    backend: str,
    report: Callable[[int, int], None],
) -> None:
    """Run tasks in several processes.

    Progress goes through a file in each run's folder: nothing has to be reached but the folders, which all processes
    share anyway. When a process is killed (out of memory, for one), loky ends all; the tasks that were running are
    recorded as failed, and the others go on.

    Args:
        work: by number: a task, its folder, and how many epochs it has.
        run: what runs a task.
        jobs: processes.
        backend: "loky" or "ray".
        report: told the number of a task and how many of its epochs have ended since the last call.
    """
    prepare_backend(backend)
    for _, folder, _ in work.values():
        (folder / _RUNNING).unlink(missing_ok=True)
    ended = threading.Event()
    watch = threading.Thread(target=_tell_progress, args=(work, report, ended))
    watch.start()
    parent = os.getpid() if backend == LOKY else None
    try:
        while waiting := [(task, folder) for task, folder, _ in work.values() if not _has_ended(folder)]:
            try:
                with parallel_config(backend, n_jobs=jobs):
                    Parallel()(delayed(_run_in_worker)(run, task, folder, parent) for task, folder in waiting)
            except BrokenExecutor as error:
                _record_lost(waiting, error)
    finally:
        ended.set()
        watch.join()


def prepare_backend(backend: str) -> None:
    """Make a backend known to joblib; Ray is started, or joined where a cluster runs.

    Raises:
        ImportError: Ray is not installed; the message says how.
    """
    if backend != RAY:
        return
    require("backend 'ray'", "ray")
    import ray  # noqa: PLC0415  an extra that only this backend needs
    from ray.util.joblib import register_ray  # noqa: PLC0415

    register_ray()
    if not ray.is_initialized():
        ray.init(log_to_driver=False)


def _run_in_worker(run: Recorded, task: Any, folder: Path, parent: int | None) -> None:
    if parent is not None:
        show_warnings_as_notes()
        _end_with(parent)
    folder.mkdir(parents=True, exist_ok=True)
    running = folder / _RUNNING
    running.write_text("0")
    run(task, folder, lambda epoch: _write_epochs(running, epoch + 1))
    running.unlink()


def _write_epochs(path: Path, epochs: int) -> None:
    write_text(path, str(epochs))


def _end_with(parent: int) -> None:
    """End this process soon after its parent was killed: the parent's successor takes its folder over."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS)
        os._exit(1)

    if os.getppid() == parent and all(thread.name != _WATCH for thread in threading.enumerate()):
        threading.Thread(target=watch, name=_WATCH, daemon=True).start()


def _record_lost(waiting: list[tuple[Any, Path]], error: BrokenExecutor) -> None:
    lost = [(task, folder) for task, folder in waiting if (folder / _RUNNING).is_file()]
    if not lost:
        raise error
    for task, folder in lost:
        (folder / _RUNNING).unlink()
        if not _has_ended(folder):
            Failure.of(error, dataset=task.title, method=task.name, seed=task.seed).write(folder)


def _has_ended(folder: Path) -> bool:
    return (folder / RESULT).is_file() or (folder / FAILURE).is_file()


def _tell_progress(
    work: Mapping[int, tuple[Any, Path, int]], report: Callable[[int, int], None], ended: threading.Event
) -> None:
    told = dict.fromkeys(work, 0)
    last = False
    while not last:
        last = ended.wait(_SECONDS)  # and once more after the end
        for number, (_, folder, epochs) in work.items():
            if told[number] < epochs:
                done = epochs if _has_ended(folder) else _epochs_done(folder)
                report(number, max(0, done - told[number]))
                told[number] = max(done, told[number])


def _epochs_done(folder: Path) -> int:
    try:
        return int((folder / _RUNNING).read_text())
    except (FileNotFoundError, ValueError):
        return 0
