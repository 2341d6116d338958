"""Time what has to be loaded before anything happens: ``python -m benchmarks.start``.

Each line is started in a process of its own, one after the other, in several turns; a number is the processor time of
the child, as the system counts it. Ratios are within a turn. Writes ``benchmarks/results/start.json``.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.timing import environment, write_results

RUNS = 3
TORCH = "import torch"
TABM, LIGHTNING = "import tabm", "import lightning"
LIMITS = {  # line to another that stands before it, and how many times that it may take; None is only measured
    TORCH: None,
    "conr --help": (TORCH, 0.1),
    "conr presets": (TORCH, 0.1),
    "conr fitt": (TORCH, 0.1),
    "conr table fit --help": (TORCH, 0.5),
    "conr table predict --help": (TORCH, 0.5),
    "conr table fit --taget price": (TORCH, 0.5),
    "conr inspect --help": (TORCH, 0.5),
    "conr inspect --taget price": (TORCH, 0.5),
    "conr report --help": (TORCH, 0.5),
    "conr report --titel x": (TORCH, 0.5),
    "import conr.density.splits": (TORCH, 1.1),
    "conr inspect houses.csv --target price --out inspection-{run}": (TORCH, 2.0),
    "conr report evaluated --out report-{run}.html": (TORCH, 2.0),
    TABM: None,
    "conr table predict model ten.csv --out predictions-{run}.csv": (TABM, 1.2),
    LIGHTNING: None,
    "conr fit --help": (LIGHTNING, 1.1),
    "conr fit --config rotated-digits-vanilla --trainer.max_epochs 0 --output.root fit-{run}": None,
}


def processor_seconds(line: str, run: int, folder: Path) -> float:
    """User and system time of a line in a process of its own; its exit status does not matter for wrong options."""
    words = line.format(run=run).split()
    command = (
        [sys.executable, "-m", "conr.cli.main", *words[1:]] if words[0] == "conr" else [sys.executable, "-c", line]
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != (2 if _is_wrong(line) else 0):
        raise RuntimeError(f"{line}: ended with {done.returncode}: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path) -> list[dict[str, Any]]:
    """All lines, and the median over the turns of what each took, and of its ratio to the line that limits it."""
    prepare(folder)
    times: dict[str, list[float]] = {line: [] for line in LIMITS}
    for run in range(RUNS):
        for line, found in times.items():
            found.append(processor_seconds(line, run, folder))
            print(f"{found[-1]:7.2f} s  {line}", flush=True)
    return [_case(line, times) for line in times]


def _case(line: str, times: dict[str, list[float]]) -> dict[str, Any]:
    case = {
        "line": line.replace("-{run}", ""),
        "seconds": round(median(times[line]), 3),
        "runs": [round(one, 3) for one in times[line]],
    }
    limit = LIMITS[line]
    if limit is not None:
        ratios = [one / other for one, other in zip(times[line], times[limit[0]], strict=True)]
        case |= {"over": limit[0], "ratio": round(median(ratios), 3), "aim": limit[1]}
    return case


def prepare(folder: Path) -> None:
    """Write a table and ten rows of it, and fit a model."""
    rows = [f"{row % 37},{'town' if row % 3 else 'village'},{row % 37 * 10 + row % 7}" for row in range(400)]
    (folder / "houses.csv").write_text("\n".join(["area,place,price", *rows]))
    (folder / "ten.csv").write_text("\n".join(["area,place,price", *rows[:10]]))
    fit = ["table", "fit", "houses.csv", "--target", "price", "--out", "model", "--model.max_epochs", "1"]
    evaluate = ["table", "evaluate", "model", "houses.csv", "--out", "evaluated"]
    for words in (fit, evaluate):
        subprocess.run([sys.executable, "-m", "conr.cli.main", *words], cwd=folder, check=True, capture_output=True)


def _is_wrong(line: str) -> bool:
    return line == "conr fitt" or any(word in line for word in ("--taget", "--titel"))


def main() -> None:
    """Measure and write the file."""
    ran_on = environment()
    with tempfile.TemporaryDirectory() as name:
        cases = measure(Path(name))
    write_results("start", cases, ran_on=ran_on)


if __name__ == "__main__":
    main()
