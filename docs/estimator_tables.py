"""The tables about `conr.estimators` as Markdown, from the files that ``benchmarks/estimator_tables.py`` writes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, geometric_mean, stdev
from typing import Any

Run = dict[str, Any]

PLANNED = 210
"""Trainings of the whole comparison: six tables, seven methods, five seeds."""

MEASURES: dict[str, Callable[[Run], float]] = {
    "few-shot MAE": lambda run: float(run["metrics"]["few"]["mae"]),
    "balanced MAE": lambda run: float(run["metrics"]["all"]["bmae"]),
}


def comparison(path: Path) -> str:
    """Average ranks, and the two errors per table; only what all methods in the file have run counts.

    Args:
        path: result file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no table and seed that all methods have run.
    """
    runs: list[Run] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    methods = list(dict.fromkeys(run["method"] for run in runs))
    found = {(run["table"], run["seed"], run["method"]): run for run in runs}
    cells = list(dict.fromkeys((run["table"], run["seed"]) for run in runs))
    complete = [cell for cell in cells if all((*cell, method) in found for method in methods)]
    if not complete:
        raise ValueError(f"{path}: expected a table and seed that all methods have run, got none")
    seeds: dict[str, list[int]] = {}
    for table, seed in complete:
        seeds.setdefault(table, []).append(seed)
    of = {
        (table, method): [found[table, seed, method] for seed in seeds[table]] for table in seeds for method in methods
    }
    state = "" if len(runs) >= PLANNED else f"**Not finished: {len(runs)} of {PLANNED} trainings are done.** "
    lines = [
        f"{state}Average rank over the tables (1 is best), and processor seconds per training.",
        "",
        "| method | " + " | ".join(MEASURES) + " | seconds |",
        "|---|" + "---:|" * (len(MEASURES) + 1),
    ]
    ranks = {name: _ranks(of, list(seeds), methods, measure) for name, measure in MEASURES.items()}
    for method in methods:
        averages = " | ".join(
            _bold(f"{ranks[name][method]:.2f}", best=ranks[name][method] == min(ranks[name].values()))
            for name in MEASURES
        )
        seconds = fmean(run["seconds"] for table in seeds for run in of[table, method])
        lines.append(f"| {method} | {averages} | {seconds:.0f} |")
    for name, measure in MEASURES.items():
        lines += ["", f"{name[0].upper()}{name[1:]} in label units, mean ± standard deviation over seeds.", ""]
        lines += ["| method | " + " | ".join(f"{table} ({len(seeds[table])})" for table in seeds) + " |"]
        lines += ["|---|" + "---:|" * len(seeds)]
        means = {key: fmean(map(measure, runs)) for key, runs in of.items()}
        for method in methods:
            entries = []
            for table in seeds:
                best = min(means[table, one] for one in methods)
                values = list(map(measure, of[table, method]))
                spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
                entries.append(_bold(f"{means[table, method]:.2f}", best=means[table, method] == best) + spread)
            lines.append(f"| {method} | {' | '.join(entries)} |")
    lines += ["", "The number of seeds is in brackets."]
    return "\n".join(lines)


def search(path: Path) -> str:
    """Changes of the validation errors by each change of the start, over the tables and seeds it was trained on.

    Args:
        path: result file of ``--search``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no run of the start on a table and seed that a candidate was trained on.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    runs: list[Run] = record["runs"]
    start = ", ".join(f"{name} {value}" for name, value in record["start"].items())
    found = {_cell(run): run for run in runs}
    tables = list(dict.fromkeys(run["table"] for run in runs))
    lines = [
        f"Start: the defaults with {start}. Entries are the change of {' / '.join(MEASURES)} against it in percent,",
        "geometric means over seeds (their number is in brackets if it is above 1).",
        "",
        f"| changed | {' | '.join(tables)} | processor seconds |",
        "|---|" + "---:|" * (len(tables) + 1),
    ]
    for change in dict.fromkeys(json.dumps(run["change"]) for run in runs):
        settings = json.loads(change)
        entries = [_changes(found, change, table, path) if settings else "0 / 0" for table in tables]
        cost = fmean(float(run["seconds"]) for cell, run in found.items() if cell[0] == change)
        name = ", ".join(f"{key} {value}" for key, value in settings.items()) or "nothing"
        lines.append(f"| {name} | {' | '.join(entries)} | {cost:.0f} |")
    return "\n".join(lines)


def _changes(found: dict[tuple[str, str, int], Run], change: str, table: str, path: Path) -> str:
    """Of each measure; nothing if the change was not tried on the table."""
    seeds = [seed for known, one, seed in found if (known, one) == (change, table)]
    for seed in seeds:
        if ("{}", table, seed) not in found:
            raise ValueError(f"{path}: expected a run of the start for table and seed {(table, seed)}, got none")
    if not seeds:
        return ""
    entries = []
    for measure in MEASURES.values():
        errors = {key: measure({"metrics": run["validation"]}) for key, run in found.items()}
        ratio = geometric_mean([errors[change, table, seed] / errors["{}", table, seed] for seed in seeds])
        entries.append(f"{100 * (ratio - 1):+.0f}")
    return " / ".join(entries) + (f" ({len(seeds)})" if len(seeds) > 1 else "")


def _cell(run: Run) -> tuple[str, str, int]:
    return json.dumps(run["change"]), run["table"], run["seed"]


def _ranks(
    of: dict[tuple[str, str], list[Run]], tables: Sequence[str], methods: Sequence[str], measure: Callable[[Run], float]
) -> dict[str, float]:
    """Mean over tables of the rank of a method's mean error; equal ones share the mean of their ranks."""
    ranks: dict[str, list[float]] = {method: [] for method in methods}
    for table in tables:
        means = {method: fmean(map(measure, of[table, method])) for method in methods}
        for method in methods:
            below = sum(value < means[method] for value in means.values())
            equal = sum(value == means[method] for value in means.values())
            ranks[method].append(below + (equal + 1) / 2)
    return {method: fmean(values) for method, values in ranks.items()}


def _bold(text: str, *, best: bool) -> str:
    return f"**{text}**" if best else text
