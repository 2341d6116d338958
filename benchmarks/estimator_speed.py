"""Seconds and validation error of `ConRRegressor` and `RareRegressor` against an earlier version.

    python -m benchmarks.estimator_speed DATA --baseline FOLDER
    python -m benchmarks.estimator_speed DATA --baseline FOLDER --blends

DATA is the folder of `benchmarks.estimator_tables`, FOLDER the ``src`` of the earlier version, as ``git worktree add``
puts it somewhere. Each version trains in a process of its own with one thread, in turn, on the training rows alone: the
estimator takes its own validation part from them. The errors are those of the table's validation rows, which no
training has seen; test rows are not read. ``--again`` measures only the new version, and keeps what the file has of the
earlier one. Results go to ``benchmarks/results/estimator_speed.json``, with ``--blends``
to ``blend_speed.json``, one by one, so that a killed run goes on where it was.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.estimator_tables import RESULTS, measured, rows, splits
from benchmarks.timing import environment
from conr.estimators import ConRRegressor, RareRegressor
from conr.runs.atomic import write_text

TABLES = ("Abalone", "airfoil", "Accel", "heat")
METHODS = ("sqinv", "sqinv+conr")
BLENDS = {"boosting": "boosting", "blend": "auto"}
"""Candidates of `RareRegressor` by the name of a blend."""
SEEDS = 3
ERRORS = {"bmae": ("all", "bmae"), "few": ("few", "mae"), "mae": ("all", "mae")}


def measure(data: Path, name: str, seed: int, methods: Collection[str]) -> dict[str, dict[str, Any]]:
    """By method processor seconds of a training, and the errors of rows that it has not seen."""
    torch.set_num_threads(1)
    table = splits(data, name, seed)
    found = {}
    for method in methods:
        model: Any = (
            RareRegressor(BLENDS[method], random_state=seed)
            if method in BLENDS
            else ConRRegressor(method, device="cpu", random_state=seed)
        )
        start = time.process_time()
        model.fit(*rows(table.splits.train))
        seconds = time.process_time() - start
        metrics = measured(model, table, table.splits.val)
        errors = {one: metrics[region][metric] for one, (region, metric) in ERRORS.items()}
        found[method] = {"seconds": seconds, **errors}
        if method not in BLENDS:
            found[method] |= {"epochs": len(model.history_), "best_epoch": model.best_epoch_}
    return found


def in_process(data: Path, source: Path, name: str, seed: int, methods: Collection[str]) -> dict[str, dict[str, Any]]:
    """`measure` with the version of the package in a folder."""
    command = [sys.executable, "-m", "benchmarks.estimator_speed", str(data), "--one", name, str(seed), *methods]
    paths = f"{source}{os.pathsep}{RESULTS.parents[1]}"
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True, stdout=subprocess.PIPE)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Per method: how many times as fast, and the new error over the old: geometric mean and worst table."""
    found: dict[str, Any] = {}
    for method in sorted({case["method"] for case in cases}):
        own = [case for case in cases if case["method"] == method]
        speed = [case["old"]["seconds"] / case["new"]["seconds"] for case in own]
        entry = {"cases": len(own), "times_as_fast": _mean(speed), "least_times_as_fast": min(speed)}
        for name in ERRORS:
            tables = {case["table"] for case in own}
            ratios = {
                table: _mean([one["new"][name] / one["old"][name] for one in own if one["table"] == table])
                for table in tables
            }
            worst = max(ratios, key=lambda table: ratios[table])
            entry[name] = {"ratio": _mean(list(ratios.values())), "worst": ratios[worst], "worst_table": worst}
        found[method] = entry
    return found


def _mean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with imbalanced-tabular/ and uci/")
    parser.add_argument("--baseline", type=Path, help="src of the earlier version")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--blends", action="store_true", help="measure RareRegressor in the place of ConRRegressor")
    parser.add_argument(
        "--again", action="store_true", help="measure the new version again, and keep the earlier one's"
    )
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        name, number, *asked = options.one
        print(json.dumps(measure(options.data, name, int(number), asked)))
        return
    benchmark, methods = ("blend_speed", BLENDS) if options.blends else ("estimator_speed", METHODS)
    path = RESULTS / f"{benchmark}.json"
    record: dict[str, Any] = {"schema": "conr.benchmark/1", "benchmark": benchmark, **environment()}
    record |= {"threads": 1, "cases": [], "skipped": []}
    if path.is_file():
        record = json.loads(path.read_text())
    before = record["cases"]
    done = set() if options.again else {(case["seed"], case["table"]) for case in record["cases"]}
    for seed, table in itertools.product(range(options.seeds), TABLES):
        if (seed, table) in done:
            continue
        known = {case["method"]: case["old"] for case in before if (case["seed"], case["table"]) == (seed, table)}
        old = known or in_process(options.data, options.baseline, table, seed, methods)
        record["cases"] = [case for case in record["cases"] if (case["seed"], case["table"]) != (seed, table)]
        new = in_process(options.data, RESULTS.parents[1] / "src", table, seed, methods)
        for method in methods:
            case = {"table": table, "method": method, "seed": seed, "old": old[method], "new": new[method]}
            record["cases"].append(case)
            print(
                table,
                method,
                seed,
                *(f"{one['seconds']:.1f} s {one['bmae']:.4f}" for one in (old[method], new[method])),
            )
        record["summary"] = summary(record["cases"])
        write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
