"""Candidates for the defaults of `ConRRegressor`, judged on rows that no training has seen: time and error.

    python -m benchmarks.estimator_defaults DATA

DATA is the folder of `benchmarks.estimator_tables`. Each candidate trains on the training rows of a table with one
thread, and takes its own validation part from them. It is judged on the validation rows of the table; test rows are
never read. Candidates differ in the scaling of the inputs, the number of members, the learning rate, and the length as
a share of about 2500 steps. Results go to ``benchmarks/results/estimator_defaults.json`` one by one, so that a killed
run goes on where it was.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed

from benchmarks.estimator_tables import RESULTS, TABLES, measured, rows, splits
from benchmarks.timing import environment
from conr.estimators import ConRRegressor
from conr.methods.lengths import default_batch_size, default_epochs
from conr.runs.atomic import write_text

SEEDS = 3
LENGTH = "length"
"""Key of a candidate: epochs as a share of those that make about 2500 steps."""
FULL: dict[str, Any] = {"learning_rate": 4e-3, LENGTH: 1.0}
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"scaling": "quantile", "members": 8, **FULL},
    {"scaling": "standard", "members": 8, **FULL},
    {"scaling": "standard", "members": 4, **FULL},
    {"scaling": "robust", "members": 4, **FULL},
    {"scaling": "robust", "members": 4, "learning_rate": 8e-3, LENGTH: 0.5},
    {"scaling": "robust", "members": 4, "learning_rate": 6e-3, LENGTH: 0.6},
)
"""The first one is what the defaults were before, the last one what they are."""
METHOD = "sqinv"


def judged(data: Path, name: str, candidate: dict[str, Any], seed: int) -> dict[str, Any]:
    """Processor seconds of a training, and its errors on the validation rows."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    table = splits(data, name, seed)
    settings = dict(candidate)
    inputs, labels = rows(table.splits.train)
    longest = default_epochs(len(labels), default_batch_size(len(labels)), to_end=True)
    settings["max_epochs"] = round(settings.pop(LENGTH) * longest)
    model = ConRRegressor(METHOD, device="cpu", random_state=seed, **settings)
    start = time.process_time()
    model.fit(inputs, labels)
    seconds = time.process_time() - start
    errors = measured(model, table, table.splits.val)
    return {
        "table": name,
        "candidate": candidate,
        "seed": seed,
        "seconds": round(seconds, 2),
        "epochs": len(model.history_),
        "best_epoch": model.best_epoch_,
        "validation": errors,
    }


def place(case: dict[str, Any]) -> tuple[int, int, int]:
    """Of a case in the file, whichever was finished first."""
    return case["seed"], list(TABLES).index(case["table"]), CANDIDATES.index(case["candidate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with imbalanced-tabular/ and uci/")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    path = RESULTS / "estimator_defaults.json"
    record: dict[str, Any] = {"schema": "conr.benchmark/1", "benchmark": "estimator_defaults", **environment()}
    record |= {"threads": 1, "method": METHOD, "cases": [], "skipped": []}
    if path.is_file():
        record = json.loads(path.read_text())
    done = [(case["seed"], case["table"], case["candidate"]) for case in record["cases"]]
    todo = [
        (seed, name, candidate)
        for seed in range(options.seeds)
        for name in TABLES
        for candidate in CANDIDATES
        if (seed, name, candidate) not in done
    ]
    calls = (delayed(judged)(options.data, name, candidate, seed) for seed, name, candidate in todo)
    for case in Parallel(n_jobs=options.jobs, return_as="generator")(calls):
        record["cases"] = sorted([*record["cases"], case], key=place)
        print(
            case["table"], case["seed"], case["candidate"], f"{case['validation']['all']['bmae']:.4f}", case["seconds"]
        )
        write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
