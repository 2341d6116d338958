"""What a memory of earlier batches does for ConR on rotated digits, at batches of 16 and of 64.

Five forms with the preset's settings and the same epochs: no ConR; ConR of the batch alone; with a memory of the last
2 batches, of the last 16, and of the last 16 as a momentum encoder sees them. The learning rate of batches of 16 is
chosen first, without ConR, by the validation error of one further seed. Each run is in
``results/memory_on_digits.json`` with its settings, seed and versions; runs that are there are not repeated. Run:
``python -m benchmarks.memory_on_digits``, about a quarter of an hour of one core.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed

from benchmarks.timing import RESULTS, environment
from conr.methods.presets import preset_config
from conr.runs.atomic import write_text
from conr.runs.history import read_history
from conr.runs.results import RunResult
from conr.training.command import run_command

PATH = RESULTS / "memory_on_digits.json"
VIEWS = 2  # of each input: a batch of 16 is 32 samples
EPOCHS = {16: 8, 64: 20}  # 1,504 and 940 steps; the preset has 30 epochs
SEEDS = (0, 1, 2)
TRIAL_SEED = 100
TRIAL_FACTORS = (1.0, 0.5, 0.25)  # of the preset's learning rate; a quarter is in proportion to the batch
FORMS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "ConR": {"batches": 0},
    "ConR, memory of 2 batches": {"batches": 2},
    "ConR, memory of 16 batches": {"batches": 16},
    "ConR, memory of 16 batches, momentum encoder": {"batches": 16, "momentum": 0.99},
}
REGIONS = ("all", "many", "median", "few")

_PRESET = preset_config("rotated-digits-conr")["model"]
_CONR = _PRESET["regularizers"]["conr"]
PRESET_LR: float = _PRESET["optimizer"]["init_args"]["lr"]
PRESET_BATCH: int = preset_config("rotated-digits-conr")["data"]["init_args"]["batch_size"]

Run = dict[str, Any]


def settings(form: str, batch: int, lr: float) -> dict[str, Any]:
    """Everything that a run has beside the preset and the seed, as the result file keeps it."""
    given = {"batch_size": batch, "epochs": EPOCHS[batch], "lr": lr}
    if form == "vanilla":
        return given
    known = FORMS[form]
    given |= {"coefficient": _CONR["coefficient"], "memory": known["batches"] * VIEWS * batch}
    return given | ({"momentum": known["momentum"]} if "momentum" in known else {})


def arguments(chosen: dict[str, Any], seed: int, root: str) -> list[str]:
    """The run as typed after ``conr``."""
    typed = [
        "fit",
        f"--config=rotated-digits-{'conr' if 'coefficient' in chosen else 'vanilla'}",
        f"--seed_everything={seed}",
        f"--output.root={root}",
        f"--data.batch_size={chosen['batch_size']}",
        f"--trainer.max_epochs={chosen['epochs']}",
        f"--model.optimizer.init_args.lr={chosen['lr']}",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]
    if chosen.get("memory"):
        memory = {"regularizer": _CONR["loss"], "size": chosen["memory"]}
        whole = {**_CONR, "loss": {"class_path": "conr.losses.CrossBatchMemory", "init_args": memory}}
        typed.append(f"--model.regularizers={json.dumps({'conr': whole})}")
    if "momentum" in chosen:
        encoder = {"class_path": "conr.training.MomentumMemory", "init_args": {"momentum": chosen["momentum"]}}
        typed.append(f"--trainer.callbacks={json.dumps([encoder])}")
    return typed


def measured(chosen: dict[str, Any], seed: int, *, test: bool) -> dict[str, Any]:
    """Train once; validation and, if asked for, test MAE of the epoch with the lowest validation MAE, by region."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as root:
        folder = run_command(arguments(chosen, seed, root))
        seconds = time.process_time() - start
        history = read_history(folder)
        epoch = min(history["val/mae"], key=lambda logged: logged[1])[0]
        names = {region: "val/mae" if region == "all" else f"val/mae_{region}" for region in REGIONS}
        found = {"epoch": epoch, "validation": {one: round(dict(history[names[one]])[epoch], 4) for one in REGIONS}}
        if test:
            run_command(["test", f"--run={folder}"])
            metrics = RunResult.read(folder).metrics
            found["test"] = {region: round(metrics[region]["mae"], 4) for region in REGIONS}
    return {**found, "processor_seconds": round(seconds, 1)}


def trials() -> Iterator[Run]:
    """The learning rates that are tried for batches of 16."""
    for factor in TRIAL_FACTORS:
        yield {"form": "vanilla", "seed": TRIAL_SEED, "settings": settings("vanilla", 16, PRESET_LR * factor)}


def chosen_rate(runs: list[Run]) -> float:
    """The learning rate of batches of 16 with the lowest validation MAE."""
    tried = [run for run in runs if run["seed"] == TRIAL_SEED]
    best: float = min(tried, key=lambda run: run["validation"]["all"])["settings"]["lr"]
    return best


def comparison(rate: float) -> Iterator[Run]:
    """All runs that are tested, seed by seed."""
    for seed in SEEDS:
        for batch in EPOCHS:
            lr = PRESET_LR if batch == PRESET_BATCH else rate
            for form in FORMS:
                yield {"form": form, "seed": seed, "settings": settings(form, batch, lr)}


def run_missing(
    record: dict[str, Any], path: Path, planned: Iterable[Run], jobs: int, end: float, *, test: bool
) -> None:
    """Train what the record does not have yet, and write it after each run; no run begins after ``end``."""
    done = [{name: run[name] for name in ("form", "seed", "settings")} for run in record["runs"]]
    ran_on = environment()
    made = {"commit": ran_on["commit"], "versions": ran_on["versions"], "device": ran_on["device"]}
    waiting = [task for task in planned if task not in done]
    for run in Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_one)(task, end, test=test) for task in waiting
    ):
        if run is not None:
            record["runs"].append({**run, **made})
            record["runs"].sort(key=_order)
            write_text(path, json.dumps(record, indent=1) + "\n")
            print(json.dumps(run), flush=True)


def main() -> None:
    """Choose the learning rate, then compare; go on where an earlier call was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=PATH)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no run begins later than that")
    given = parser.parse_args()
    end = time.time() + 60 * given.minutes
    record: dict[str, Any] = {"schema": "conr.memory_on_digits/1", "runs": []}
    if given.results.is_file():
        record = json.loads(given.results.read_text())
    run_missing(record, given.results, trials(), given.jobs, end, test=False)
    if sum(run["seed"] == TRIAL_SEED for run in record["runs"]) == len(TRIAL_FACTORS):
        rate = chosen_rate(record["runs"])
        run_missing(record, given.results, comparison(rate), given.jobs, end, test=True)


def _one(task: Run, end: float, *, test: bool) -> Run | None:
    if time.time() > end:
        return None
    torch.set_num_threads(1)
    return {**task, **measured(task["settings"], task["seed"], test=test)}


def _order(run: Run) -> tuple[Any, ...]:
    return run["seed"] != TRIAL_SEED, run["seed"], run["settings"]["batch_size"], list(FORMS).index(run["form"])


if __name__ == "__main__":
    main()
