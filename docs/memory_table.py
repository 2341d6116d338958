"""The table about memories of earlier batches as Markdown, from the file of ``benchmarks/memory_on_digits.py``."""

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

Run = dict[str, Any]

PLANNED = 30
"""Trainings of the whole comparison: five forms, two batch sizes, three seeds."""


def comparison(path: Path) -> str:
    """Few-shot MAE of each form per batch size; only seeds that all forms of a batch size have run count.

    Args:
        path: result file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no batch size with a seed that all its forms have run.
    """
    runs: list[Run] = [run for run in json.loads(path.read_text(encoding="utf-8"))["runs"] if "test" in run]
    forms = list(dict.fromkeys(run["form"] for run in runs))
    blocks = []
    for batch in sorted({run["settings"]["batch_size"] for run in runs}):
        own = [run for run in runs if run["settings"]["batch_size"] == batch]
        found = {(run["form"], run["seed"]): run for run in own}
        seeds = [seed for seed in sorted({run["seed"] for run in own}) if all((form, seed) in found for form in forms)]
        if seeds:
            of = {form: [found[form, seed] for seed in seeds] for form in forms}
            blocks.append(_block(batch, len(seeds), of))
    if not blocks:
        raise ValueError(f"{path}: expected a batch size with a seed that all forms have run, got none")
    state = [] if len(runs) >= PLANNED else [f"**Not finished: {len(runs)} of {PLANNED} trainings are done.**"]
    return "\n\n".join(state + blocks) + "\n"


def _block(batch: int, seeds: int, of: dict[str, list[Run]]) -> str:
    chosen = next(iter(of.values()))[0]["settings"]
    lines = [
        f"**Batches of {batch}**, {chosen['epochs']} epochs, learning rate {chosen['lr']:g}, seeds: {seeds}. MAE in",
        "degrees, mean ± standard deviation; processor time of the training over vanilla's.",
        "",
        "| | remembered samples | few-shot, validation | few-shot, test | all, test | time |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    measures = [("validation", "few"), ("test", "few"), ("test", "all")]
    means = {
        form: [fmean(run[split][region] for run in runs) for split, region in measures] for form, runs in of.items()
    }
    first = fmean(run["processor_seconds"] for run in next(iter(of.values())))
    for form, runs in of.items():
        cells = []
        for column, (split, region) in enumerate(measures):
            values = [run[split][region] for run in runs]
            spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
            best = means[form][column] == min(mean[column] for mean in means.values())
            cells.append(f"**{fmean(values):.2f}**{spread}" if best else f"{fmean(values):.2f}{spread}")
        seconds = fmean(run["processor_seconds"] for run in runs)
        lines.append(
            f"| {form} | {runs[0]['settings'].get('memory', 0)} | {' | '.join(cells)} | {seconds / first:.1f} |"
        )
    return "\n".join(lines)
