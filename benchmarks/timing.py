"""Interleaved timing and memory of several forms of the same loss, and the result file."""

import ctypes
import gc
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import conr

RESULTS = Path(__file__).parent / "results"
MODES = ("forward", "backward", "full")

Times = dict[str, dict[str, dict[str, float]]]
"""Form, mode, and what `summary` says."""


BURST_MS = 30.0
"""How long a form runs before the next one does, if it is that fast."""


def interleaved(forms: Mapping[str, Callable[[], Tensor]], *, seconds: float, runs: int = 7, warmups: int = 2) -> Times:
    """Run the forms in turn until the time is over, at least ``runs`` times each.

    A fast form runs several times in each turn, and the first time does not count: memory that the form before gave
    back to the system, and processors' caches that it filled, would be charged to the wrong form.

    Args:
        forms: each computes a loss with a graph.
        seconds: time to spend.
        runs: fewest runs that count.
        warmups: runs before those.
    """
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in forms}
    bursts = dict.fromkeys(forms, 1)
    for _ in range(warmups):
        for name, form in forms.items():
            bursts[name] = max(int(BURST_MS / _run(form)[MODES.index("full")]), 1)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or any(len(values) < runs for values in found.values()):
        for name, form in forms.items():
            times = [_run(form) for _ in range(bursts[name])]
            found[name] += times[1:] or times
    return {name: _summaries(np.array(values)) for name, values in found.items()}


def _run(form: Callable[[], Tensor]) -> tuple[float, ...]:
    """Milliseconds of forward, backward and both: by the clock, then by the processors' time of all threads."""
    clocks = (time.perf_counter, time.process_time)
    start = [clock() for clock in clocks]
    loss = form()
    middle = [clock() for clock in clocks]
    loss.backward()  # type: ignore[no-untyped-call]
    end = [clock() for clock in clocks]
    steps = zip(start, middle, end, strict=True)
    return tuple(1e3 * span for a, b, c in steps for span in (b - a, c - b, c - a))


def once(forms: Mapping[str, Callable[[], Tensor]]) -> tuple[Times, dict[str, int]]:
    """Times and peak memory of one run of each form, for forms that are too slow for more."""
    times, memory = {}, {}
    for name, form in forms.items():
        before = _new_peak()
        times[name] = _summaries(np.array([_run(form)]))
        memory[name] = max(_status_bytes("VmHWM") - before, 0)
    return times, memory


def _summaries(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, dict[str, float]]:
    """Median, 20 and 80 percent quantile of milliseconds for each mode."""
    modes = {}
    for column, mode in enumerate(MODES):
        low, median, high = np.quantile(values[:, column], (0.2, 0.5, 0.8))
        modes[mode] = {
            "median_ms": float(median),
            "q20_ms": float(low),
            "q80_ms": float(high),
            "cpu_ms": float(np.median(values[:, column + len(MODES)])),
            "runs": len(values),
        }
    return modes


def milliseconds(summary: Mapping[str, float], threads: int) -> float:
    """The time that a summary is reported by: of the clock, or of the processor if there was one thread.

    With one thread both are the same on a machine without other work, and on a shared one only the second is a measure.
    With several, the processors' time includes that threads wait for each other.
    """
    return summary["cpu_ms" if threads == 1 else "median_ms"]


def peak_extra_bytes(form: Callable[[], Tensor]) -> int:
    """Most memory that forward and backward of a form hold beyond what the process held before (Linux).

    The form must have run before, as what libraries set up on first use does not count.
    """
    before = _new_peak()
    _run(form)
    return max(_status_bytes("VmHWM") - before, 0)


def _new_peak() -> int:
    """Let the peak of the process start anew, and return what it holds."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status: expected a line {field}, got none")


class OtherWork:
    """How much of the processors other programs took since this was made (Linux)."""

    def __init__(self) -> None:
        self._start = self._now()

    def share(self) -> float:
        """Their time over that of all cores, from 0 to 1."""
        busy, own, clock = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(busy - own, 0) / (clock * (os.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:8])
        busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
        return busy, time.process_time(), time.perf_counter()


def environment() -> dict[str, Any]:
    """What a measurement runs on; to be taken before it starts, as it is load itself."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        cwd=RESULTS.parent,
    ).stdout.strip()
    running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])  # this process is one of them
    return {
        "commit": commit or None,
        "versions": {"conr": conr.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "device": "cpu",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        "shared": running > 1,  # others were at work: the clock is then no measure, the processors' time a rough one
    }


def write_results(
    name: str,
    cases: list[dict[str, Any]],
    *,
    ran_on: dict[str, Any],
    skipped: list[dict[str, Any]] | None = None,
    folder: Path = RESULTS,
) -> Path:
    """Write the cases beside what they ran on.

    Args:
        name: of the benchmark and the file.
        cases: one dict per measured point.
        ran_on: `environment` of the run.
        skipped: points that were left out, each with a ``reason``.
        folder: where the file goes.
    """
    content = {"schema": "conr.benchmark/1", "benchmark": name, **ran_on, "cases": cases, "skipped": skipped or []}
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
