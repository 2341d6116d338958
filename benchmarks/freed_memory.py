"""What it saves that memory which a batch frees stays for the next one: ``python -m benchmarks.freed_memory``.

Forward and backward of ``conr_loss`` with ``engine="auto"``, with and without `conr.pairwise.freed_memory`, which
changes the whole process: each measurement is a process of its own, in turn; one minute, on Linux with glibc.
"""

import json
import subprocess
import sys
from functools import partial
from statistics import median
from typing import Any

from benchmarks.engines import MAIN_SHARE, SETTINGS, Point, batch
from benchmarks.timing import environment, interleaved, write_results
from conr import conr_loss
from conr.pairwise import engines

SIZES = ((512, 128), (512, 512), (1024, 128), (2048, 128), (8192, 128), (8192, 512))
ROUNDS = 3


def milliseconds_in_a_process(n: int, d: int, *, kept: bool) -> float:
    """Median of forward and backward in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.freed_memory", str(n), str(d), str(int(kept))]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def measure(n: int, d: int, *, kept: bool) -> float:
    """The same in this process."""
    if not kept:
        engines.LARGE_PAIRS = sys.maxsize
    given = batch(Point(n, d, 1, MAIN_SHARE))
    form = partial(conr_loss, *given[:3], weights=given.weights, window=given.window, **SETTINGS)
    return interleaved({"auto": form}, seconds=1.0, warmups=5)["auto"]["full"]["median_ms"]


def main() -> None:
    """Measure all sizes several times in turn, and write the result file."""
    ran_on = environment()
    cases: list[dict[str, Any]] = []
    for n, d in SIZES:
        rounds = [[milliseconds_in_a_process(n, d, kept=kept) for kept in (False, True)] for _ in range(ROUNDS)]
        given_back, kept = (median(times) for times in zip(*rounds, strict=True))
        cases.append({"n": n, "d": d, "given_back_ms": given_back, "kept_ms": kept})
        print(f"n={n} d={d}: {given_back:.2f} ms, {kept:.2f} where freed memory is kept", flush=True)
    print(write_results("freed_memory", cases, ran_on=ran_on))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        n, d, kept = map(int, sys.argv[1:])
        print(json.dumps(measure(n, d, kept=bool(kept))))
