"""Why ConR adds nothing to weights on faces: what a batch offers it, and a handful of ideas tried on validation data.

    python -m benchmarks.claims.ideas --data DIR

Each idea is a training of half a run's epochs with the seed of the search, as a trial of `benchmarks.claims.search`;
no test split is read. Written one by one to ``results/claims/faces/ideas.json``, so that a killed run goes on:
validation errors of the epoch with the lowest one over all labels, and how many other pictures within a window a
picture of a shot region meets in a batch.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.claims.records import IDEAS
from benchmarks.claims.search import SETTINGS, TRIAL_SEED, train_trial
from benchmarks.claims.study import WINDOW, WINDOWS, Options, Study, faces
from benchmarks.timing import environment
from conr.bench import EVERY
from conr.data import UTKFace
from conr.runs.atomic import write_text
from conr.runs.history import read_history
from conr.runs.runs import SUFFIX, read_runs

RESULTS = Path(__file__).parents[2] / "results" / "claims" / "faces"
SCHEMA = "conr.claims_ideas/1"
BATCH = 64
_CONR = "model.regularizers.conr"
_STRONGER: Options = {f"{_CONR}.coefficient": 1.0}
_LARGER: Options = {"data.batch_size": 256}
TRIED: dict[str, tuple[str, Options]] = {
    "weights alone": ("sqinv", {}),
    "with ConR as chosen": ("sqinv+conr", {}),
    "ten times the coefficient": ("sqinv+conr", _STRONGER),
    "ten times, and a window of 10 years": ("sqinv+conr", {**_STRONGER, WINDOW: 10.0}),
    "ten times, and pushes by 1 / count": ("sqinv+conr", {**_STRONGER, f"{_CONR}.density.init_args.scheme": "inverse"}),
    "weights alone, batches of 256": ("sqinv", _LARGER),
    "with ConR, batches of 256": ("sqinv+conr", _LARGER),
    "ten times, batches of 256": ("sqinv+conr", {**_LARGER, **_STRONGER}),
    "balanced batches alone": ("balanced-sampling", {}),
    "balanced batches with ConR": ("balanced-sampling+conr", {}),
    "balanced batches with ten times ConR": ("balanced-sampling+conr", _STRONGER),
}
"""Method, and what differs from its chosen settings, for ConR those beside weights: a coefficient of 0.1."""
REGIONS = ("all", "many", "median", "few")


def trial(study: Study, settings: dict[str, Options], name: str, root: Path) -> dict[str, Any]:
    """Train without the test split; validation errors by shot region of the best epoch."""
    method, own = TRIED[name]
    options = dict(settings[EVERY])
    for part in ("sqinv", "sqinv+conr"):
        if part.split("+")[-1] in method.split("+"):
            options |= settings[part]
    folder = train_trial(study, method, options | own, re.sub("[ /]", "-", name), root / "ideas")
    history = read_history(folder)
    best = int(np.argmin([value for _, value in history["val/mae"]]))
    names = {region: "val/mae" if region == "all" else f"val/mae_{region}" for region in REGIONS}
    return {
        "idea": name,
        "method": method,
        "settings": own,
        "validation": {region: round(history[one][best][1], 3) for region, one in names.items()},
    }


def positives(counts: Sequence[int], regions: Sequence[str], batch: int) -> list[dict[str, Any]]:
    """How many other pictures within a window a picture meets in a batch on average, by shot region and window.

    Args:
        counts: training pictures of each age.
        regions: of each age.
        batch: pictures.
    """
    pictures, ages = np.array(counts, dtype=np.float64), np.arange(len(counts))
    found = []
    for window in WINDOWS:
        near = (np.abs(ages[:, None] - ages) <= window) @ pictures - 1  # (ages,)
        expected = (batch - 1) * near / (pictures.sum() - 1)
        row: dict[str, Any] = {"window": window}
        for region in REGIONS[1:]:
            own = pictures * (np.array(regions) == region)
            row[region] = round(float((own * expected).sum() / own.sum()), 3)
        found.append(row)
    return found


def main() -> None:
    """Try what is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or zip archive of UTKFace")
    parser.add_argument("--out", type=Path, default=Path("runs/claims"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what is committed")
    given = parser.parse_args()
    study = faces(given.data)
    settings = yaml.safe_load((given.results / SETTINGS).read_text())[study.dataset.name]
    bins = next(
        run.result.bins for run in read_runs([given.results / f"runs{SUFFIX}"]) if run.result.method == "vanilla"
    )
    met = positives(bins["train_counts"], bins["regions"], BATCH)
    UTKFace(root=given.data, size=32, skip_bad=True).prepare_files()
    path = given.results / IDEAS
    runs = json.loads(path.read_text())["runs"] if path.is_file() else []
    for name in TRIED:
        if any(run["idea"] == name for run in runs):
            continue
        made = trial(study, settings, name, given.out)
        runs = sorted([*runs, made], key=lambda run: list(TRIED).index(run["idea"]))
        print(made, flush=True)
        content = {"schema": SCHEMA, "seed": TRIAL_SEED, "ran_on": environment(), "batch": BATCH}
        content |= {"positives": met, "runs": runs}
        write_text(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
