import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conr.bench import grid_tasks, run_grid
from conr.bench.workers import run_apart
from conr.runs.failures import FAILURE

SCRIPT = """
from pathlib import Path
from conr.bench import grid_tasks, run_grid

run_grid(grid_tasks(["abalone"], ["vanilla"], 2), Path("runs"), jobs=2)
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


@pytest.mark.parametrize("seen", ["once", "again"])
def test_workers_have_the_environment_of_now_and_a_share_of_the_cores(
    seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEN", seen)
    apart(write_what_it_sees, tmp_path)
    share = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // 2))
    for number in range(2):
        assert (tmp_path / str(number) / "seen").read_text() == f"{seen} {share} {share} task{number}"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_an_interrupt_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        wait_for(lambda: all((tmp_path / f"{number}/task{number}").is_file() for number in range(2)))
        os.kill(os.getpid(), 2)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        apart(wait_long, tmp_path)
    thread.join()
    workers = [int((tmp_path / f"{number}/task{number}").read_text()) for number in range(2)]
    wait_for(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert 'needs `if __name__ == "__main__":` around it' in done.stderr
    assert not list(tmp_path.rglob("failure.json"))


def test_the_earlier_name_of_the_backend_still_works(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="'loky' is now called 'local'"):
        assert run_grid(grid_tasks(["abalone"], ["vanilla"], 1)[:0], tmp_path, backend="loky") == []


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
