"""Compare methods on nine datasets, five seeds: settings chosen on validation first, with the same budget for each.

The learning rate of a dataset's network is chosen first, without any method (four trials); it holds for all methods
there. Then every method of one part gets four trials on every dataset: four values of its own strength, or of the
learning rate again for SQINV, which has no strength. One seed, which is none of the comparison's; the value whose best
epoch has the lowest validation error is chosen, and ties go to the value that the preset had. A mix takes what its
parts chose and has no trials of its own. The test split is not evaluated in a trial. Boosting, a reference on tables,
runs with scikit-learn's defaults.

Run ``python -m benchmarks.grid --data DIR`` where DIR holds imbalanced-tabular/, uci/ and sts-b-dir/: it goes on where
it was stopped. Trials and choice go to ``results/grid/tuning.json`` and ``results/grid/settings.yaml``, the runs to
``--out``, and their configurations and results to ``results/grid/*.runs.jsonl``, from which ``make results`` makes the
page.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from joblib import Parallel, delayed
from rich.console import Console

from benchmarks.timing import environment
from conr.bench import EVERY, GridDataset, Task, grid_datasets, grid_tasks, with_method_settings, with_options
from conr.cli.grid import run_with_bars, show_failures
from conr.methods.presets import preset_config
from conr.runs.atomic import write_text
from conr.runs.history import read_history
from conr.runs.results import RESULT
from conr.runs.runs import SUFFIX, read_runs, write_runs
from conr.training.command import run_command

RESULTS = Path(__file__).parents[1] / "results" / "grid"
TUNING, SETTINGS = "tuning.json", "settings.yaml"
TUNED = ("vanilla", "sqinv", "lds", "denseweight", "ranksim", "rnc", "bmc", "conr")
MIXES = tuple(f"{method}+conr" for method in ("sqinv", "lds", "denseweight", "ranksim", "rnc", "bmc"))
BOOSTING = ("hgb", "hgb+sqinv", "hgb+oversample")
TRIALS = 4
TRIAL_SEED = 100
SEEDS = 5

_LR = "model.optimizer.init_args.lr"
_DENSITY = "model.criterion_density.init_args"
_FACTORS = (1.0, 0.1, 0.3, 3.0)  # the value before, or the network's learning rate, first: it wins ties


class Dial(NamedTuple):
    """The one setting of a method that trials vary: its name, and factors of the preset's value."""

    setting: str
    factors: tuple[float, ...] = _FACTORS


DIALS = {
    "vanilla": Dial(_LR, (1.0, 0.3, 3.0, 10.0)),
    "sqinv": Dial(_LR),
    "lds": Dial(f"{_DENSITY}.sigma", (1.0, 0.25, 0.5, 2.0)),
    "denseweight": Dial(f"{_DENSITY}.alpha", (1.0, 0.5, 1.5, 2.0)),
    "ranksim": Dial("model.regularizers.ranksim.coefficient"),
    "rnc": Dial("model.regularizers.rnc.coefficient"),
    "bmc": Dial("model.criterion.init_args.noise_scale"),
    "conr": Dial("model.regularizers.conr.coefficient"),
}

BEFORE = {
    ("rotated-digits", "vanilla"): 1e-3,
    ("abalone", "vanilla"): 1e-3,
    ("table", "vanilla"): 1e-3,
    ("rotated-digits", "conr"): 4.0,
    ("abalone", "conr"): 1.0,
    ("table", "conr"): 0.3,
    ("table", "bmc"): 0.5,
}
"""Values of presets when the trials began, by dataset and method; now presets have what the trials chose, or "auto"."""


def datasets(data: str) -> list[GridDataset]:
    """The nine datasets; ``data`` is the folder with the files of seven of them."""
    tables = [f"table:{data}/imbalanced-tabular/{name}.csv:0" for name in ("Abalone", "Accel", "fuelCons", "heat")]
    tables += [f"table:{data}/uci/{name}.csv:-1" for name in ("airfoil", "concrete")]
    own = {
        "data.sts-b-dir.root": f"{data}/sts-b-dir",
        "data.table-airfoil.header": "false",
        "data.table-concrete.header": "false",
        "data.table-heat.batch_size": "128",  # four times as many rows as most
    }
    return with_options(grid_datasets(["rotated-digits", "abalone", *tables, "sts-b-dir"]), own)[0]


def trial_options(dataset: str, method: str, network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of each of a method's trials on the presets of a dataset, with the network's chosen settings."""
    dial = DIALS[method]
    value: Any = preset_config(f"{dataset}-{method}")
    for part in dial.setting.split("."):
        value = value[part]
    value = network.get(dial.setting, BEFORE.get((dataset, method), value))
    made = [{**network, dial.setting: float(f"{value * factor:.4g}")} for factor in dial.factors]
    if method == "lds":  # the kernel reaches two deviations
        for options in made:
            options[f"{_DENSITY}.kernel_size"] = 2 * max(2, round(2 * options[dial.setting])) + 1
    return made


def run_trial(dataset: GridDataset, method: str, options: dict[str, Any]) -> float:
    """Train once, without the test split; the monitored validation metric of the best epoch."""
    torch.set_num_threads(1)
    task = Task(dataset.preset, method, TRIAL_SEED, (*dataset.options, *options.items()))
    monitor = preset_config(task.preset)["output"].get("monitor", "val/mae")
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    with tempfile.TemporaryDirectory() as root:
        folder = run_command(["fit", *task.arguments, f"--output.root={root}", *quiet])
        return min(value for _, value in read_history(folder)[monitor])


def tune(found: Sequence[GridDataset], results: Path, jobs: int, console: Console) -> dict[str, Any]:
    """Run the trials that are not recorded yet, and write the record and what it chooses."""
    path = results / TUNING
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else []
    for methods in (TUNED[:1], TUNED[1:]):
        known = chosen(runs)
        done = {(run["dataset"], run["method"], run["trial"]) for run in runs}
        waiting = [
            (dataset, method, trial, options)
            for dataset in found
            for method in methods
            for trial, options in enumerate(
                trial_options(dataset.preset, method, known.get(dataset.name, {}).get("*", {}))
            )
            if (dataset.name, method, trial) not in done
        ]
        console.print(f"{len(waiting)} trials to run, {len(runs)} are recorded")
        for run in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_numbered)(*one) for one in waiting):
            runs.append(run)
            _write_record(path, runs)
    settings = chosen(runs)
    write_text(results / SETTINGS, yaml.safe_dump(settings, sort_keys=False))
    return settings


def chosen(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By dataset and method, the settings of the trial with the lowest validation error; "*" holds for all methods."""
    best: dict[str, dict[str, dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: (run["validation"], run["trial"])):
        best.setdefault(run["dataset"], {}).setdefault(run["method"], run["settings"])
    return {
        dataset: {EVERY: its[TUNED[0]]}
        | {method: _beside(its[method], its[TUNED[0]]) for method in TUNED[1:] if method in its}
        for dataset, its in sorted(best.items())
    }


def _beside(settings: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if network.get(name) != value}


def tasks_of(found: Sequence[GridDataset], settings: dict[str, Any]) -> list[Task]:
    """All runs of the comparison, a seed at a time."""
    networks = with_method_settings(grid_tasks(found, [*TUNED, *MIXES], SEEDS), settings)
    boosted = grid_tasks([one for one in found if one.preset in {"table", "abalone"}], BOOSTING, SEEDS)
    return sorted([*networks, *boosted], key=lambda task: task.seed)


def collect(folders: Sequence[Path], results: Path) -> int:
    """Write configuration and result of each finished run into a file per dataset; return the number of runs."""
    runs = read_runs([folder for folder in folders if (folder / RESULT).is_file()])
    for dataset in {run.result.dataset for run in runs}:
        write_runs(results / f"{dataset}{SUFFIX}", [run for run in runs if run.result.dataset == dataset])
    return len(runs)


def main() -> int:
    """Tune, run, collect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with imbalanced-tabular/, uci/ and sts-b-dir/")
    parser.add_argument("--out", type=Path, default=Path("runs/grid"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what is committed")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    console, found = Console(), datasets(given.data)
    tasks = tasks_of(found, tune(found, given.results, given.jobs, console))
    folders = run_with_bars(console, tasks, given.out, settings={}, jobs=given.jobs)
    console.print(f"{collect(folders, given.results)} results in {given.results}")
    return show_failures(console, folders)


def _numbered(dataset: GridDataset, method: str, trial: int, options: dict[str, Any]) -> dict[str, Any]:
    validation = run_trial(dataset, method, options)
    return {"dataset": dataset.name, "method": method, "trial": trial, "settings": options, "validation": validation}


def _write_record(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    order = sorted(runs, key=lambda run: (run["dataset"], TUNED.index(run["method"]), run["trial"]))
    lines = ",\n ".join(json.dumps(run) for run in order)
    text = (
        f'{{"schema": "conr.grid_tuning/1",\n"trials": {TRIALS},\n"seed": {TRIAL_SEED},\n'
        f'"ran_on": {json.dumps(environment())},\n"runs": [\n {lines}\n]}}\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


if __name__ == "__main__":
    raise SystemExit(main())
