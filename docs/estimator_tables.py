"""The tables about `conr.estimators` as Markdown, from result files of benchmarks."""

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


def defaults(path: Path) -> str:
    """Changes of the validation errors by each candidate for the defaults, against the first one.

    Args:
        path: result file of ``benchmarks/estimator_defaults.py``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a candidate that lacks a table and seed that the first one has.
    """
    cases: list[Run] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    tables = list(dict.fromkeys(case["table"] for case in cases))
    found: dict[str, dict[tuple[str, int], Run]] = {}
    for case in cases:
        found.setdefault(json.dumps(case["candidate"]), {})[case["table"], case["seed"]] = case
    first = next(iter(found.values()))
    settings = [json.loads(candidate) for candidate in found]
    lines = [
        f"Changes of {' / '.join(MEASURES)} against the first line in percent, geometric means over",
        f"{len({seed for _, seed in first})} seeds; 'time' and 'all tables' are means over the tables as well.",
        "",
        f"| {' | '.join([*settings[0], 'time', 'all tables', *tables])} |",
        "|---" * len(settings[0]) + "|---:" * (len(tables) + 2) + "|",
    ]
    for values, runs in zip(settings, found.values(), strict=True):
        if set(runs) != set(first):
            raise ValueError(f"{path}: expected runs of {values} on {len(first)} tables and seeds, got {len(runs)}")
        seconds = geometric_mean([run["seconds"] / first[cell]["seconds"] for cell, run in runs.items()])
        entries = [f"{100 * (seconds - 1):+.0f}", _changes(runs, first)]
        entries += [_changes({cell: run for cell, run in runs.items() if cell[0] == one}, first) for one in tables]
        lines.append(f"| {' | '.join([*map(str, values.values()), *entries])} |")
    return "\n".join(lines)


def _changes(runs: dict[tuple[str, int], Run], first: dict[tuple[str, int], Run]) -> str:
    """Of each measure."""
    entries = []
    for measure in MEASURES.values():
        ratios = [
            measure({"metrics": run["validation"]}) / measure({"metrics": first[cell]["validation"]})
            for cell, run in runs.items()
        ]
        entries.append(f"{100 * (geometric_mean(ratios) - 1):+.0f}")
    return " / ".join(entries)


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
