"""`RareRegressor` against each of its candidates, other boosting and other networks, on seven tables.

    python -m benchmarks.rare_tables --data DIR
    python -m benchmarks.rare_tables --data DIR --only rare rare-boosting --seeds 2

DIR is a folder with ``imbalanced-tabular/{Abalone,Accel,fuelCons,heat}.csv`` and ``uci/{airfoil,concrete}.csv``, the
tables of `benchmarks.estimator_tables`; the seventh is ``abalone``, which comes with scikit-lego. All seven are in
`benchmarks.grid`, too. ``abalone`` and ``Abalone.csv`` hold the same animals, with other bins and other splits.

Each seed draws a split of its own, as in `benchmarks.estimator_tables`. Everything runs as `conr bench` runs it, with
one thread: validation rows choose the iteration of boosting and the epoch of networks; ``rare`` sees the training rows
alone. Test rows are looked at once, for the result. ``lightgbm``, ``catboost`` and ``pytabkit`` come with the extra
``bench``.

Configurations and results go to ``results/rare-tables/DATASET.runs.jsonl`` one by one: a run is a line, and what is
there is not repeated, on this machine or on another. ``make results`` makes the tables of the page from them.
"""

import argparse
import json
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from joblib import Parallel, delayed

from benchmarks import estimator_tables
from conr._checks import check_choice, check_number
from conr.bench.baselines import check_baseline, run_baseline
from conr.runs.folder import read_config
from conr.runs.results import RunResult
from conr.runs.runs import SUFFIX, Run, read_runs, write_runs

RESULTS = Path(__file__).parents[1] / "results" / "rare-tables"
SEEDS = 5
TABLES = (*estimator_tables.TABLES, "abalone")
CANDIDATES = tuple(
    f"hgb+mse{weights}{ending}" for ending in ("", ">linear", ">isotonic") for weights in ("", "+sqinv", "+inv")
)
"""Boosting with the squared error, scikit-learn's own default and that of `RareRegressor`."""
OTHERS = ("hgb", "lightgbm+mse+sqinv", "catboost+mse+sqinv", "tabm", "realmlp")
"""Boosting with the absolute error, the criterion of `conr bench` on tables, and others with the squared one."""
BLENDS = ("rare-boosting", "rare")
METHODS = (*CANDIDATES, *OTHERS, *BLENDS)


class Cell(NamedTuple):
    """One training: a table by the name of its results, a method, and a seed."""

    dataset: str
    method: str
    seed: int


def dataset_of(table: str) -> str:
    """Name of a table in results."""
    return table if table == "abalone" else f"table-{table}"


def settings(data: Path, dataset: str, seed: int) -> dict[str, str]:
    """Settings of the table with the splits of a seed."""
    if dataset == "abalone":
        return {"data.data_seed": str(seed)}
    own = estimator_tables.TABLES[dataset.removeprefix("table-")]
    return {
        "data.path": str(data / own["path"]),
        "data.target": str(own["target"]),
        "data.header": json.dumps(own["header"]),
        "data.data_seed": str(seed),
    }


def run(data: Path, cell: Cell) -> Run | str:
    """Train and test with one thread; if that fails, why."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / f"seed-{cell.seed}"
        preset = "abalone" if cell.dataset == "abalone" else "table"
        try:
            run_baseline(
                preset, cell.method, seed=cell.seed, folder=folder, settings=settings(data, cell.dataset, cell.seed)
            )
        except Exception:  # noqa: BLE001  one that fails stops no other
            return traceback.format_exc()
        return Run(folder, RunResult.read(folder), read_config(folder))


def cells(methods: Iterable[str], seeds: int) -> list[Cell]:
    """All trainings, seed by seed, so that one stopped early has compared all methods."""
    chosen = list(methods)
    return [Cell(dataset_of(table), method, seed) for seed in range(seeds) for table in TABLES for method in chosen]


def recorded(results: Path) -> list[Run]:
    """Runs that are there; none if the folder is not."""
    return read_runs([results]) if any(results.glob(f"*{SUFFIX}")) else []


def keep(results: Path, made: Run) -> None:
    """Add a run to the file of its dataset."""
    path = results / f"{made.result.dataset}{SUFFIX}"
    before = read_runs([path]) if path.is_file() else []
    write_runs(path, sorted([*before, made], key=lambda run: (run.result.method, run.result.seed or 0)))


def compare(data: Path, results: Path, todo: Sequence[Cell], jobs: int) -> int:
    """Run what is not there yet; the number of failures."""
    failures = 0
    start = time.monotonic()
    made = Parallel(n_jobs=jobs, return_as="generator")(delayed(run)(data, cell) for cell in todo)
    for number, (cell, found) in enumerate(zip(todo, made, strict=True), start=1):
        where = f"{number} of {len(todo)}, {time.monotonic() - start:.0f} s: {cell.dataset} {cell.method} {cell.seed}"
        if isinstance(found, str):
            failures += 1
            print(f"{where}: failed\n{found}", flush=True)
            continue
        keep(results, found)
        metrics = found.result.metrics
        print(
            f"{where}: few {metrics['few']['mae']:.4f} bmae {metrics['all']['bmae']:.4f} in "
            f"{found.result.train_seconds:.0f} s",
            flush=True,
        )
    return failures


def main() -> int:
    """Run the comparison; the exit status is 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with imbalanced-tabular/ and uci/")
    parser.add_argument("--only", nargs="+", default=METHODS, help="methods to run")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what is committed")
    given = parser.parse_args()
    check_number("seeds", given.seeds, low=1)
    for method in given.only:
        check_choice("only", method, METHODS)
        check_baseline("table", method)  # a package that is missing is told now
    done = {Cell(one.result.dataset, one.result.method, one.result.seed or 0) for one in recorded(given.results)}
    todo = [cell for cell in cells(given.only, given.seeds) if cell not in done]
    print(f"{len(todo)} trainings to run, {len(done)} are there", flush=True)
    return 1 if compare(given.data, given.results, todo, given.jobs) else 0


if __name__ == "__main__":
    raise SystemExit(main())
