import mmap
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_command import TOY

from conr.runs.results import RunResult
from conr.training import memory
from conr.training.command import run_command
from conr.training.memory import peak_memory, reset_peak_memory

CPU = torch.device("cpu")
MIB = 2**20


def _pages(size: int) -> mmap.mmap:
    """Memory that goes back to the system when it is closed, as a tensor's may not."""
    pages = mmap.mmap(-1, size)
    for start in range(0, size, mmap.PAGESIZE):
        pages[start] = 1
    return pages


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_the_peak_counts_from_the_reset() -> None:
    big = _pages(64 * MIB)
    assert reset_peak_memory(CPU)
    before = peak_memory(CPU)
    big.close()
    assert reset_peak_memory(CPU)
    after = peak_memory(CPU)
    assert before is not None
    assert after is not None
    assert before - after > 32 * MIB
    _pages(64 * MIB).close()
    peak = peak_memory(CPU)  # what is gone still counts
    assert peak is not None
    assert 48 * MIB < peak - after < 96 * MIB


def test_it_is_unknown_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "no" / "clear_refs")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    assert not reset_peak_memory(CPU)
    assert peak_memory(CPU) is None
    (tmp_path / "status").write_text("VmPeak:\t  10 kB\n")
    assert peak_memory(CPU) is None
    (tmp_path / "status").write_text("VmPeak:\t  10 kB\nVmHWM:\t   7 kB\n")
    assert peak_memory(CPU) == 7 * 1024
    assert not reset_peak_memory(torch.device("meta"))
    assert peak_memory(torch.device("meta")) is None


def test_on_a_gpu_it_is_what_tensors_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: that the functions of torch are asked, and about this device."""
    asked: list[Any] = []

    def allocated(device: torch.device) -> int:
        asked.append(device)
        return 123

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", allocated)
    device = torch.device("cuda", 1)
    assert reset_peak_memory(device)
    assert peak_memory(device) == 123
    assert asked == [device, device]


def test_the_result_of_a_run_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text("VmHWM:\t   7 kB\n")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "clear_refs")
    run = run_command(["fit", *TOY, "--trainer.max_epochs=1", f"--output.root={tmp_path}"])
    run_command(["test", f"--run={run}", "--trainer.enable_progress_bar=false"], show=False)
    assert RunResult.read(run).peak_memory == 7 * 1024
