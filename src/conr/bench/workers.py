"""Tasks of a grid in processes of their own: where these come from, progress, and what to do when one dies."""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

from joblib import Parallel, cpu_count, delayed, parallel_config

from conr._checks import check_choice
from conr._extras import require
from conr._notes import show_warnings_as_notes
from conr.runs.atomic import write_text
from conr.runs.failures import FAILURE, Failure
from conr.runs.results import RESULT

LOCAL, RAY = "local", "ray"
BACKENDS = (LOCAL, RAY)

Recorded = Callable[[Any, Path, Callable[[int], None]], None]
"""Runs a task into a folder and tells of its epochs; what goes wrong is left there as a failure."""

_RUNNING = ".epochs"
_SECONDS = 0.5
_IMPORTED_ONCE = ["conr.bench.ignores_interrupts", "conr.bench.grid"]
_OWNER = os.getpid()
_LONGEST = 70  # of the folder of temporary files: a forking process listens at a socket there, whose path is limited


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
    share anyway. When a process is killed (out of memory, for one), all end; the tasks that were running are recorded
    as failed, and the others go on.

    Processes of this machine are forked from one that has imported torch and Lightning and done nothing else: they
    start at once, and share what the libraries need. Where a system cannot, they import it themselves.

    Args:
        work: by number: a task, its folder, and how many epochs it has.
        run: what runs a task; a function of a module.
        jobs: processes.
        backend: "local" or "ray".
        report: told the number of a task and how many of its epochs have ended since the last call.
    """
    prepare_backend(backend)
    for _, folder, _ in work.values():
        (folder / _RUNNING).unlink(missing_ok=True)
    ended = threading.Event()
    watch = threading.Thread(target=_tell_progress, args=(work, report, ended))
    watch.start()
    try:
        while waiting := [(task, folder) for task, folder, _ in work.values() if not _has_ended(folder)]:
            try:
                if backend == RAY:
                    with parallel_config(RAY, n_jobs=jobs):
                        Parallel()(delayed(_run_in_worker)(run, task, folder) for task, folder in waiting)
                else:
                    _run_on_this_machine(run, waiting, jobs)
            except BrokenExecutor as error:
                _record_lost(waiting, error)
    finally:
        ended.set()
        watch.join()


def check_backend(backend: str) -> str:
    """Require a known backend; returns its name of today.

    Raises:
        ValueError: an unknown one.
    """
    if backend == "loky":
        warnings.warn("backend 'loky' is now called 'local', and goes in 0.4", FutureWarning, stacklevel=3)
        return LOCAL
    check_choice("backend", backend, BACKENDS)
    return backend


def possible_jobs(jobs: int) -> int:
    """As many processes as were asked for; 1 and a warning in a daemonic process, which can start no others."""
    if jobs > 1 and multiprocessing.current_process().daemon:
        warnings.warn("jobs: expected 1 in a daemonic process, which starts no others; runs go singly", stacklevel=3)
        return 1
    return jobs


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


def _run_on_this_machine(run: Recorded, waiting: Sequence[tuple[Any, Path]], jobs: int) -> None:
    context = _context()
    end, open_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        jobs, context, initializer=_begin_worker, initargs=(end, max(1, cpu_count() // jobs), dict(os.environ))
    )
    try:
        with _without_script():
            futures = [pool.submit(_run_in_worker, run, task, folder) for task, folder in waiting]
        for future in futures:
            future.result()
    except BaseException:
        open_end.close()  # ends the workers, too
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for connection in (end, open_end):
            connection.close()


def _context() -> Any:
    """How processes start: forked from one that has imported what they need, or, where that fails, each anew."""
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    if not forks or len(tempfile.gettempdir()) > _LONGEST or os.getpid() != _OWNER:  # a forked process has no server
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    return context


@contextmanager
def _without_script() -> Iterator[None]:
    """Keep new processes from importing the user's script, of which runs need nothing."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _begin_worker(end: Connection, threads: int, environment: Mapping[str, str]) -> None:
    """Prepare a process that ends with its parent and has a share of the cores."""
    for name in os.environ.keys() - environment.keys():  # a forked process has the environment of the first grid
        del os.environ[name]
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this process
    threading.Thread(target=_end_with_parent, args=(end,), daemon=True).start()
    show_warnings_as_notes()
    import torch  # noqa: PLC0415  slow to load, and the command's own process does without it
    from threadpoolctl import threadpool_limits  # noqa: PLC0415  as torch

    threads = min(threads, torch.get_num_threads())
    os.environ["OMP_NUM_THREADS"] = str(threads)  # of libraries that are loaded later
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def _end_with_parent(end: Connection) -> None:
    """End this process when its parent dies, or closes the pipe: another process takes its folder over."""
    wait([end])
    os._exit(1)


def _run_in_worker(run: Recorded, task: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    running = folder / _RUNNING
    running.write_text("0")
    run(task, folder, lambda epoch: _write_epochs(running, epoch + 1))
    running.unlink()


def _write_epochs(path: Path, epochs: int) -> None:
    write_text(path, str(epochs))


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
