"""Choose the settings of the STS-B-DIR presets on the validation split, with the same budget for each method.

Every method gets the same random networks, and with each of them the same random settings of ConR if it has ConR. Two
seeds of each; then three more seeds of each method's three best. The lowest mean validation MSE is chosen. The test
split is never evaluated. Run: ``python -m benchmarks.sts_b_tuning --data DIR``, about 35 minutes of one core; the
record is ``results/sts-b-dir/tuning.json``, and runs that are in it are not repeated. Its runs marked ``"loop":
"plain"`` were trained by a plain loop over the same parts instead of the command line.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.timing import environment
from conr.runs.history import read_history
from conr.training.command import run_command

RECORD = Path(__file__).parents[1] / "results" / "sts-b-dir" / "tuning.json"
METHODS = ("vanilla", "lds", "conr", "lds+conr")
NETWORK: dict[str, list[Any]] = {
    "hidden": [[128], [128, 128], [256, 128]],
    "dropout": [0.3, 0.5, 0.7],
    "lr": [5e-4, 1e-3, 2e-3],
    "weight_decay": [0.0, 1e-4],
}
CONR: dict[str, list[Any]] = {
    "window": [0.25, 0.5, 1.0],
    "temperature": [0.1, 0.2, 0.5],
    "coefficient": [0.1, 0.3, 1.0],
}
DRAWS, FINALISTS = 16, 3
SEEDS, FURTHER_SEEDS = (0, 1), (100, 101, 102)
REGIONS = ("", "_many", "_median", "_few")
RULE = (
    f"{DRAWS} draws with {len(SEEDS)} seeds per method; {len(FURTHER_SEEDS)} more seeds for its {FINALISTS} draws with "
    "the lowest mean validation MSE; of these the one with the lowest mean over all seeds. A run's validation MSE is "
    "that of its best epoch, which is the epoch that would be tested."
)
_OPTIONS = {
    "hidden": "model.encoder.init_args.hidden",
    "dropout": "model.encoder.init_args.dropout",
    "lr": "model.optimizer.init_args.lr",
    "weight_decay": "model.optimizer.init_args.weight_decay",
    "window": "model.regularizers.conr.loss.window",
    "temperature": "model.regularizers.conr.loss.temperature",
    "coefficient": "model.regularizers.conr.coefficient",
}


def drawn() -> list[dict[str, Any]]:
    """The draws: different networks, each with settings of ConR."""
    source = random.Random(1)  # noqa: S311  no cryptography
    draws: list[dict[str, Any]] = []
    while len(draws) < DRAWS:
        network = {name: source.choice(values) for name, values in NETWORK.items()}
        conr = {name: source.choice(values) for name, values in CONR.items()}
        if all(network != {name: draw[name] for name in NETWORK} for draw in draws):
            draws.append(network | conr)
    return draws


def settings(method: str, draw: dict[str, Any]) -> dict[str, Any]:
    """What of a draw concerns a method."""
    return {name: value for name, value in draw.items() if name in NETWORK or "conr" in method}


def best_epoch(method: str, draw: dict[str, Any], seed: int, data: str) -> dict[str, Any]:
    """Train once; the epoch with the lowest validation MSE, and that MSE by shot region."""
    given = [f"--{_OPTIONS[name]}={json.dumps(value)}" for name, value in settings(method, draw).items()]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    with tempfile.TemporaryDirectory() as root:
        start = ["fit", f"--config=sts-b-dir-{method}", f"--data.root={data}", f"--output.root={root}"]
        history = read_history(run_command([*start, f"--seed_everything={seed}", *given, *quiet]))
    epoch = min(history["val/mse"], key=lambda logged: logged[1])[0]
    return {"epoch": epoch} | {f"mse{region}": dict(history[f"val/mse{region}"])[epoch] for region in REGIONS}


class Record:
    """The runs so far, written after each."""

    def __init__(self, path: Path, data: str) -> None:
        self.path = path
        self.data = data
        self.draws = drawn()
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        self.ran_on: dict[str, Any] = found.get("ran_on") or environment()
        self.runs: list[dict[str, Any]] = found.get("runs", [])

    def add(self, method: str, draws: Iterable[int], seeds: Iterable[int]) -> None:
        """Train what is not there yet."""
        done = {(run["method"], run["draw"], run["seed"]) for run in self.runs}
        for seed in seeds:
            for draw in draws:
                if (method, draw, seed) not in done:
                    values = best_epoch(method, self.draws[draw], seed, self.data)
                    self.runs.append({"method": method, "draw": draw, "seed": seed, **values})
                    self.write({})

    def ranked(self, method: str) -> list[int]:
        """A method's draws, those with the most seeds first, then by mean validation MSE."""
        scores: dict[int, list[float]] = {}
        for run in self.runs:
            if run["method"] == method:
                scores.setdefault(run["draw"], []).append(run["mse"])
        return sorted(scores, key=lambda draw: (-len(scores[draw]), fmean(scores[draw])))

    def write(self, chosen: dict[str, Any]) -> None:
        """Write the record, a line per draw and run."""
        parts = {
            "schema": '"conr.tuning/1"',
            "dataset": '"sts-b-dir"',
            "rule": json.dumps(RULE),
            "space": json.dumps(NETWORK | CONR),
            "ran_on": json.dumps(self.ran_on),
            "chosen": _lines([f"{json.dumps(name)}: {json.dumps(value)}" for name, value in chosen.items()], "{}"),
            "draws": _lines([json.dumps(draw) for draw in self.draws], "[]"),
            "runs": _lines([json.dumps(_rounded(run)) for run in self.runs], "[]"),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        body = ",\n".join(f'"{name}": {text}' for name, text in parts.items())
        self.path.write_text(f"{{\n{body}\n}}\n")


def _lines(lines: list[str], brackets: str) -> str:
    return brackets[0] + "\n " + ",\n ".join(lines) + "\n" + brackets[1] if lines else brackets


def _rounded(run: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in run.items()}


def main() -> None:
    """Run both rounds, print what is chosen, and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="folder of the three files")
    parser.add_argument("--record", type=Path, default=RECORD)
    chosen = parser.parse_args()
    record = Record(chosen.record, chosen.data)
    for seed in SEEDS:
        for method in METHODS:
            record.add(method, range(DRAWS), [seed])
    for method in METHODS:
        record.add(method, record.ranked(method)[:FINALISTS], FURTHER_SEEDS)
    best = {}
    for method in METHODS:
        draw = record.ranked(method)[0]
        runs = [run for run in record.runs if (run["method"], run["draw"]) == (method, draw)]
        means = {f"val_mse{region}": round(fmean(run[f"mse{region}"] for run in runs), 4) for region in REGIONS}
        best[method] = {"draw": draw, **settings(method, record.draws[draw]), **means}
        print(method, best[method])
    record.write(best)


if __name__ == "__main__":
    main()
