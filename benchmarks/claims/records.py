"""Files of the runs that are committed: from them, another machine goes on where this one stopped."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from conr.runs.atomic import write_text
from conr.runs.folder import CONFIG
from conr.runs.history import read_history
from conr.runs.outputs import Outputs, evenly_chosen
from conr.runs.results import RESULT
from conr.runs.runs import Run, read_runs, write_runs
from conr.runs.yaml_text import yaml_text

DYNAMICS, IDEAS = "dynamics.json", "ideas.json"
SCHEMA = "conr.claims_dynamics/1"
LOGGED = ("collapse", "collapse_many", "collapse_few", "anchors", "positives", "negatives")
PAIRS_OF = 800
MAPPED = ("vanilla", "fds", "lds", "conr")
"""Methods whose features are drawn, those of figure 4 of the paper, with the seed `MAPPED_SEED`."""
MAPPED_SEED = 0


def restore(path: Path, out: Path, root: str | None) -> None:
    """Write result and configuration of recorded runs into the folders that a grid looks at.

    Args:
        path: file of runs; nothing happens without it.
        out: the grid's folder; what is there stays.
        root: where the pictures are on this machine; None if the dataset needs no files.
    """
    if not path.is_file():
        return
    for run in read_runs([path]):
        folder = out / run.result.dataset / run.result.method / run.folder.name
        if (folder / RESULT).is_file() or run.config is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        config = run.config
        if root is not None:
            config["data"]["init_args"]["root"] = root
        write_text(folder / CONFIG, yaml_text(config))
        run.result.write(folder)


def collect(folders: Sequence[Path], path: Path) -> list[Path]:
    """Write results and configurations of finished runs into a file, without the folders of pictures and runs.

    Returns:
        The folders with a result.
    """
    done = [folder for folder in folders if (folder / RESULT).is_file()]
    runs = []
    for run in read_runs(done) if done else []:
        config = run.config or {}
        if "root" in config["data"].get("init_args", {}):
            config["data"]["init_args"]["root"] = "DATA"
        config["output"]["root"] = "runs"
        runs.append(Run(run.folder, run.result, config))
    if runs:
        write_runs(path, runs)
    return done


def collect_dynamics(folders: Sequence[Path], path: Path) -> dict[str, Any]:
    """Add to a file what training logged about pairs, and what the features of the test split look like.

    Args:
        folders: of tested runs; those that were restored have neither and change nothing.
        path: the file; what other runs left there stays.

    Returns:
        Its content: by method and seed, ``logged`` (per epoch), ``features`` (numbers), and for some runs ``map``.
    """
    content = json.loads(path.read_text())["runs"] if path.is_file() else {}
    for folder in folders:
        history = read_history(folder)
        method, seed = folder.parent.name, folder.name
        if not history or seed in content.get(method, {}):
            continue
        logged = {
            name: [round(value, 4) if np.isfinite(value) else None for _, value in history[f"train/{name}"]]
            for name in LOGGED
            if f"train/{name}" in history
        }
        outputs = Outputs.read(folder)
        found: dict[str, Any] = {"logged": logged, "features": feature_numbers(outputs)}
        if method in MAPPED and seed == f"seed-{MAPPED_SEED}":
            found["map"] = projection(outputs)
        content.setdefault(method, {})[seed] = found
    lines = ",\n".join(
        f"{json.dumps(f'{method}')}: {{\n "
        + ",\n ".join(f"{json.dumps(seed)}: {json.dumps(one)}" for seed, one in sorted(seeds.items()))
        + "}"
        for method, seeds in sorted(content.items())
    )
    write_text(path, f'{{"schema": "{SCHEMA}",\n"runs": {{\n{lines}\n}}}}\n')
    return content


def feature_numbers(outputs: Outputs) -> Mapping[str, float]:
    """How far features keep the order of labels, and how many dimensions they fill.

    ``rank_correlation`` is Spearman's between the cosine distance of features and the distance of labels, over the
    pairs of at most ``PAIRS_OF`` test samples; ``effective_rank`` is the exponential of the entropy of the shares of
    variance (Roy and Vetterli 2007).
    """
    kept = evenly_chosen(len(outputs.features), PAIRS_OF)
    features, labels = outputs.features[kept].astype(np.float64), outputs.feature_labels[kept].astype(np.float64)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    rows, columns = np.triu_indices(len(kept), 1)
    distances = 1 - (unit @ unit.T)[rows, columns]
    correlation = spearmanr(distances, np.abs(labels[rows] - labels[columns])).statistic
    variances = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    shares = variances[variances > 0] / variances.sum()
    return {
        "rank_correlation": round(float(correlation), 4),
        "effective_rank": round(float(np.exp(-(shares * np.log(shares)).sum())), 3),
    }


def projection(outputs: Outputs) -> dict[str, list[float]]:
    """First two principal components of the test features, each over the standard deviation of the first; labels."""
    features = outputs.features.astype(np.float64)
    centred = features - features.mean(0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    points = (left[:, :2] * scale[:2]) / (left[:, 0] * scale[0]).std()
    return {
        "x": points[:, 0].round(3).tolist(),
        "y": points[:, 1].round(3).tolist(),
        "label": outputs.feature_labels.astype(float).tolist(),
    }
