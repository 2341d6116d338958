"""Time and memory of reading a large CSV file: ``python -m benchmarks.table_reading``, about a minute of one core.

A million rows of four columns, read into labels with their bins and inputs with their kinds. Each run is a process of
its own with one thread; a number is its processor time and the growth of its peak memory, without the imports. Writes
``benchmarks/results/table_reading.json``.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import environment, write_results

ROWS, RUNS = 1_000_000, 5
AIMS = {"seconds": 3.0, "mebibytes": 250}
_READ = """
import json, resource, sys, time
from pathlib import Path
from conr.tables.source import TableFile
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
held, start = peak(), time.process_time()
content = TableFile(Path(sys.argv[1]), ["price"]).content()
seconds = time.process_time() - start
assert len(content.labels) == int(sys.argv[2]) and len(content.inputs.values) == 3, content.summary()
print(json.dumps([seconds, peak() - held]))
"""


def write(path: Path, form: str) -> None:
    """A file of numbers and a category: "plain", or with quotes around and foreign letters in its texts."""
    random = np.random.default_rng(0)
    areas, years = random.exponential(60, ROWS), random.integers(1900, 2025, ROWS)
    places = random.choice(["town", "village", "city"] if form == "plain" else ['"Zürich, old"', '"Malmö"'], ROWS)
    prices = areas * 1000 + random.normal(size=ROWS)
    rows = (f"{a:.2f},{y},{place},{p:.2f}\n" for a, y, place, p in zip(areas, years, places, prices, strict=True))
    with path.open("w", encoding="utf-8") as file:
        file.write("area,year,place,price\n")
        file.writelines(rows)


def measure(path: Path) -> list[float]:
    """Seconds and mebibytes of one run."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-W", "ignore", "-c", _READ, str(path), str(ROWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **one})
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and write the file."""
    ran_on = environment()
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for form in ("plain", "quoted"):
            path = Path(folder) / f"{form}.csv"
            write(path, form)
            runs = [measure(path) for _ in range(RUNS)]
            case: dict[str, Any] = {"form": form, "rows": ROWS, "bytes": path.stat().st_size}
            for name, values in zip(AIMS, zip(*runs, strict=True), strict=True):
                case[name] = {"median": round(median(values), 3), "runs": [round(one, 3) for one in values]}
                case[name]["aim"] = AIMS[name]
            cases.append(case)
            print(form, case, flush=True)
    write_results("table_reading", cases, ran_on={**ran_on, "threads": 1})


if __name__ == "__main__":
    main()
