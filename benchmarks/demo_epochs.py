"""How the demo learns in few epochs: ``python -m benchmarks.demo_epochs``, ten minutes of one core.

Its two methods train on the digits with seeds that are none of the demo: the preset with its cosine schedule, the same
with twelve epochs, and constant learning rates. A case is the validation error of the best epoch so far, as mean over
seeds. Writes ``benchmarks/results/demo_epochs.json``.
"""

import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.timing import environment, write_results
from conr.bench.grid import train_task
from conr.bench.tasks import Task
from conr.runs.history import read_history

DATASET, METHODS, SEEDS = "rotated-digits", ("vanilla", "conr"), (100, 101, 102)
RATE = "model.optimizer.init_args.lr"
SCHEDULES: list[tuple[str, float, int, tuple[int, ...]]] = [  # schedule, rate, its length, epochs after which one looks
    ("cosine", 0.003, 30, (30,)),
    ("cosine", 0.003, 12, (12,)),
    *(("constant", rate, 16, (8, 12, 16)) for rate in (0.003, 0.005, 0.008)),
]

Curve = list[tuple[float, float]]


def validation_curve(method: str, schedule: str, rate: float, epochs: int, seed: int) -> Curve:
    """Errors over all and over rare validation angles, an entry per epoch."""
    settings = (("trainer.max_epochs", epochs), ("model.scheduler", schedule), (RATE, rate))
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / DATASET / method / f"seed-{seed}"
        train_task(Task(DATASET, method, seed, settings), folder, lambda _: None)
        history = read_history(folder)
    few = dict(history["val/mae_few"])
    return [(error, few[epoch]) for epoch, error in history["val/mae"]]


def main() -> None:
    """Train everything and write the file."""
    ran_on = environment()
    cases: list[dict[str, Any]] = []
    for schedule, rate, length, looks in SCHEDULES:
        for method in METHODS:
            start = time.process_time()
            curves = [validation_curve(method, schedule, rate, length, seed) for seed in SEEDS]
            seconds = (time.process_time() - start) / len(SEEDS) / length
            for epochs in looks:
                best = [min(curve[:epochs]) for curve in curves]
                errors = {"val_mae": fmean(one for one, _ in best), "val_mae_few": fmean(one for _, one in best)}
                place = {"schedule": schedule, "rate": rate, "length": length, "epochs": epochs, "method": method}
                cases.append({**place, "seeds": len(SEEDS), **errors, "cpu_s_per_epoch": seconds})
                print(cases[-1], flush=True)
    write_results("demo_epochs", cases, ran_on=ran_on)


if __name__ == "__main__":
    main()
