"""Interleaved timing of several forms of the same computation, and the result file."""

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

import conr

RESULTS = Path(__file__).parent / "results"


def interleaved(forms: Mapping[str, Callable[[], object]], *, seconds: float) -> dict[str, dict[str, float]]:
    """Run the forms in turn until the time is over; milliseconds per form as median, 20 and 80 percent quantile."""
    for form in forms.values():
        form()
        form()
    times: dict[str, list[float]] = {name: [] for name in forms}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 7:
        for name, form in forms.items():
            start = time.perf_counter()
            form()
            times[name].append(1e3 * (time.perf_counter() - start))
    summary = {}
    for name, values in times.items():
        low, median, high = np.quantile(values, (0.2, 0.5, 0.8))
        summary[name] = {"median_ms": float(median), "q20_ms": float(low), "q80_ms": float(high), "runs": len(values)}
    return summary


def write_results(name: str, cases: list[dict[str, Any]]) -> Path:
    """Write the cases beside what they ran on."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        cwd=RESULTS.parent,
    ).stdout.strip()
    content = {
        "schema": "conr.benchmark/1",
        "benchmark": name,
        "commit": commit or None,
        "versions": {"conr": conr.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "device": "cpu",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cases": cases,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
