import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from conr.bench import grid_tasks, run_grid
from conr.bench.workers import run_apart
from conr.runs.failures import FAILURE

SCRIPT = """
from pathlib import Path
from tests.bench.test_workers import apart, write_what_it_sees

print("begins")
apart(write_what_it_sees, Path("runs"))
"""


def write_what_it_sees(task: str, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """Stands for a run: a file instead of a result, and the failure's file as a sign of its end."""
    on_epoch(0)
    threads = f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']}"
    (folder / "seen").write_text(f"{os.environ.get('SEEN')} {threads} {task}")
    (folder / FAILURE).write_text("{}")


def wait_long(task: str, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """Stands for a run that takes longer than anybody waits."""
    on_epoch(0)
    (folder / task).write_text(str(os.getpid()))
    time.sleep(600)


def apart(run: Callable[[str, Path, Callable[[int], None]], None], root: Path) -> None:
    work = {number: (f"task{number}", root / str(number), 1) for number in range(2)}
    run_apart(work, run=run, jobs=2, backend="local", report=lambda *_: None)


@pytest.mark.parametrize("seen", ["once", "again", "None"])
def test_workers_have_the_environment_of_now_and_a_share_of_the_cores(
    seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEEN", raising=False)
    if seen != "None":
        monkeypatch.setenv("SEEN", seen)
    apart(write_what_it_sees, tmp_path)
    share = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // 2))
    for number in range(2):
        assert (tmp_path / str(number) / "seen").read_text() == f"{seen} {share} {share} task{number}"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_an_interrupt_ends_the_workers(tmp_path: Path) -> None:
    def interrupt() -> None:
        wait_for(lambda: all((tmp_path / f"{number}/task{number}").is_file() for number in range(2)))
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            apart(wait_long, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    workers = [int((tmp_path / f"{number}/task{number}").read_text()) for number in range(2)]
    wait_for(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


@pytest.mark.parametrize("start", ["script", "input", "long folder"])
def test_a_script_needs_no_guard_and_no_file(start: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    temporary = tmp_path / ("t" * 80 if start == "long folder" else "t")
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-" if start == "input" else "script.py"],
        cwd=tmp_path,
        input=SCRIPT,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "begins\n"
    assert len(list(tmp_path.rglob("seen"))) == 2


def in_a_process(root: Path) -> None:
    """What a process of its own does after its parent has run a grid."""
    apart(write_what_it_sees, root)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_runs_a_grid_too(tmp_path: Path) -> None:
    apart(write_what_it_sees, tmp_path / "here")
    process = multiprocessing.get_context("fork").Process(target=in_a_process, args=(tmp_path / "there",))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert len(list(tmp_path.rglob("seen"))) == 4


def test_a_daemonic_process_runs_one_task_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("conr.bench.workers.multiprocessing.current_process", lambda: SimpleNamespace(daemon=True))
    monkeypatch.setattr("conr.bench.grid.run_recorded", lambda *given: given[1].mkdir(parents=True))
    with pytest.warns(UserWarning, match="jobs: expected 1 in a daemonic process"):
        folders = run_grid(grid_tasks(["abalone"], ["vanilla"], 2), tmp_path, jobs=2)
    assert all(folder.is_dir() for folder in folders)


def test_the_earlier_name_of_the_backend_still_works(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="'loky' is now called 'local'"):
        assert run_grid(grid_tasks(["abalone"], ["vanilla"], 1)[:0], tmp_path, backend="loky") == []


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
