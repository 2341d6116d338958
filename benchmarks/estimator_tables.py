"""`ConRRegressor` against gradient boosting and a plain network on six tables.

    python -m benchmarks.estimator_tables DATA

DATA is a folder with ``imbalanced-tabular/{Abalone,Accel,fuelCons,heat}.csv`` and ``uci/{airfoil,concrete}.csv``.
Splits, bins and metrics are those of `conr.data.Table`, one draw per seed; the validation split chooses the best epoch
(boosting: iteration) of every method alike. Results go to ``benchmarks/results/estimator_tables.json`` one by one, so
that a killed run goes on where it was. `benchmarks.estimator_defaults` chose the defaults, without test rows.
"""

import argparse
import json
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from joblib import Parallel, delayed

import conr
from conr.bench.baselines import run_baseline
from conr.data import ArrayDataset, Table
from conr.estimators import ConRRegressor
from conr.methods.lengths import default_batch_size, default_epochs
from conr.runs.atomic import write_text
from conr.runs.results import RunResult

RESULTS = Path(__file__).parent / "results"
SEEDS = 5
METRICS = ("mae", "bmae")
REGIONS = ("all", "many", "median", "few")

TABLES: dict[str, dict[str, Any]] = {
    "concrete": {"path": "uci/concrete.csv", "target": -1, "header": False},
    "Accel": {"path": "imbalanced-tabular/Accel.csv", "target": 0, "header": True},
    "airfoil": {"path": "uci/airfoil.csv", "target": -1, "header": False},
    "Abalone": {"path": "imbalanced-tabular/Abalone.csv", "target": 0, "header": True},
    "fuelCons": {"path": "imbalanced-tabular/fuelCons.csv", "target": 0, "header": True},
    "heat": {"path": "imbalanced-tabular/heat.csv", "target": 0, "header": True},
}
BASELINES = ("hgb", "hgb+sqinv", "hgb+oversample")
MONITOR: dict[str, Any] = {"monitor": "mae"}
"""The error that chooses the epoch of every network here, as it chooses the iteration of boosting."""
LONG = "long"
"""Key of the settings of a network that trains for about 2500 steps."""
PLAIN: dict[str, Any] = {
    "embedding": "none",
    "members": 1,
    "scaling": "standard",
    "dropout": 0.0,
    "learning_rate": 4e-3,
    LONG: True,
    **MONITOR,
}
"""A plain multi-layer perceptron: no embeddings, no ensemble, standardised inputs; the longer training suits it."""
NETWORKS: dict[str, dict[str, Any]] = {
    "ConRRegressor sqinv+conr": {"method": "sqinv+conr", **MONITOR},
    "ConRRegressor sqinv": {"method": "sqinv", **MONITOR},
    "MLP vanilla": {"method": "vanilla", **PLAIN},
    "MLP sqinv+conr": {"method": "sqinv+conr", **PLAIN},
}


def splits(data: Path, name: str, seed: int) -> Table:
    """The table with the splits of a seed; inputs as they are in the file, since the estimator scales them."""
    settings = TABLES[name]
    table = Table(**{**settings, "path": str(data / settings["path"])}, scaling="none", data_seed=seed)
    table.setup("fit")
    return table


def rows(split: object) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(split, ArrayDataset)
    return split.inputs.double().numpy(), split.labels.double().numpy()


def fitted(table: Table, settings: dict[str, Any], seed: int) -> tuple[ConRRegressor, float]:
    """A model that has seen the training rows and chosen its epoch on the validation rows; CPU seconds."""
    inputs, labels = rows(table.splits.train)
    own = {name: value for name, value in settings.items() if name != LONG}
    if settings.get(LONG):
        own["max_epochs"] = default_epochs(len(labels), default_batch_size(len(labels)), to_end=True)
    start = time.process_time()
    model = ConRRegressor(**own, device="cpu", random_state=seed)
    model.fit(inputs, labels, eval_set=rows(table.splits.val))
    return model, time.process_time() - start


def measured(model: ConRRegressor, table: Table, split: object) -> dict[str, dict[str, float]]:
    """Metrics over the bins and shot regions of the table, as the baselines have them."""
    inputs, labels = rows(split)
    metrics = table.metrics(table.shot_density(), "")
    metrics.update(torch.from_numpy(model.predict(inputs)).float(), torch.from_numpy(labels).float())
    values = {name: float(value) for name, value in metrics.compute().items()}
    return {
        region: {name: values[name if region == "all" else f"{name}_{region}"] for name in METRICS}
        for region in REGIONS
    }


def baseline(data: Path, name: str, method: str, seed: int) -> dict[str, Any]:
    settings = TABLES[name]
    options = {
        "data.path": str(data / settings["path"]),
        "data.target": settings["target"],
        "data.header": json.dumps(settings["header"]),
        "data.data_seed": seed,
    }
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = RunResult.read(run_baseline("table", method, seed=seed, folder=Path(folder), settings=options))
    metrics = {region: {one: found.metrics[region][one] for one in METRICS} for region in REGIONS}
    return {"metrics": metrics, "seconds": round(time.process_time() - start, 2)}


def network(data: Path, name: str, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    table = splits(data, name, seed)
    model, seconds = fitted(table, settings, seed)
    return {
        "metrics": measured(model, table, table.splits.test),
        "seconds": round(seconds, 2),
        "best_epoch": model.best_epoch_,
        "epochs": len(model.history_),
    }


def tasks(seeds: int) -> Iterator[dict[str, Any]]:
    """All runs of the comparison, seed by seed, so that one stopped early has compared all methods."""
    for seed in range(seeds):
        for name in TABLES:
            yield from ({"table": name, "method": method, "seed": seed} for method in (*BASELINES, *NETWORKS))


def run(data: Path, task: dict[str, Any]) -> dict[str, Any]:
    if task["method"] in BASELINES:
        return baseline(data, task["table"], task["method"], task["seed"])
    return network(data, task["table"], NETWORKS[task["method"]], task["seed"])


def read(path: Path) -> dict[str, Any]:
    if path.is_file():
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    return {"environment": environment(), "runs": []}


def environment() -> dict[str, Any]:
    return {
        "conr": conr.__version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "python": platform.python_version(),
        "device": "cpu",
        "threads": 1,
    }


def finished(data: Path, task: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A task and its result, computed with one thread."""
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    torch.set_num_threads(1)
    return task, run(data, task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with imbalanced-tabular/ and uci/")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    path = RESULTS / "estimator_tables.json"
    record = read(path)
    done = [{key: run[key] for key in ("table", "method", "seed")} for run in record["runs"]]
    todo = [task for task in tasks(options.seeds) if task not in done]
    calls = (delayed(finished)(options.data, task) for task in todo)
    for task, result in Parallel(n_jobs=options.jobs, return_as="generator_unordered")(calls):
        record["runs"].append({**task, **result})
        write_text(path, json.dumps(record, indent=1) + "\n")
        few, balanced = result["metrics"]["few"]["mae"], result["metrics"]["all"]["bmae"]
        print(*task.values(), f"few {few:.4f} bmae {balanced:.4f} in {result['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
