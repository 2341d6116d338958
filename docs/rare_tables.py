"""The tables about `conr.RareRegressor` as Markdown, from the runs that ``benchmarks/rare_tables.py`` keeps."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean, geometric_mean, stdev

from benchmarks.rare_tables import METHODS, SEEDS, TABLES
from docs.page_tables import markdown_table

from conr.runs.runs import read_runs

BLEND, PLAIN = "rare", "hgb+mse"
CANDIDATE_NETWORKS = ("ConRRegressor sqinv", "ConRRegressor sqinv+conr")

Errors = dict[str, float]
Found = dict[tuple[str, str, int], Errors]  # dataset, method, seed

_MEASURES = {
    "few-shot": ("few", "mae"),
    "many-shot": ("many", "mae"),
    "all": ("all", "mae"),
    "balanced": ("all", "bmae"),
}
_NETWORKS = Path("benchmarks") / "results" / "estimator_tables.json"
_GRID = Path("results") / "grid"
_WORSE = 1.03


def means(folder: Path) -> str:
    """Changes of the errors against plain boosting, geometric means over the tables, and average ranks.

    Args:
        folder: with the runs, ``ROOT/results/rare-tables``.

    Raises:
        FileNotFoundError: no runs.
        ValueError: no run of plain boosting.
    """
    found = _found(folder)
    methods = _methods(found)
    plain = {(dataset, seed) for dataset, method, seed in found if method == PLAIN}
    if not plain:
        raise ValueError(f"{folder}: expected runs of {PLAIN!r}, got none")
    ranked, common = _ranked(found, methods)
    ranks = {measure: _ranks(found, ranked, common, measure) for measure in ("few-shot", "balanced")}
    rows = []
    for method in methods:
        cells = [(dataset, seed) for dataset, one, seed in found if one == method and (dataset, seed) in plain]
        changes = [_percent(_change(found, cells, method, measure)) for measure in _MEASURES]
        places = [f"{ranks[measure][method]:.1f}" if method in ranked else "" for measure in ranks]
        rows.append([f"`{method}`", f"{len({dataset for dataset, _ in cells})}", f"{len(cells)}", *changes, *places])
    header = ["method", "tables", "runs", *_MEASURES, "rank, few-shot", "rank, balanced"]
    tables = len({dataset for dataset, _ in common})
    note = (
        f"{_missing(found)}Ranks are over {len(ranked)} methods on {tables} tables, in all {len(common)} pairs of "
        "table and seed that each of them has run."
    )
    return f"{_table(header, rows)}\n\n{note}"


def values(folder: Path) -> str:
    """Few-shot and balanced errors per table, means over the seeds with their deviations; arguments as of `means`."""
    found = _found(folder)
    datasets = sorted({dataset for dataset, _, _ in found})
    parts = []
    for measure in ("few-shot", "balanced"):
        rows = []
        for method in _methods(found):
            entries = [_entry([found[one][measure] for one in found if one[:2] == (data, method)]) for data in datasets]
            rows.append([f"`{method}`", *entries])
        parts += [f"{measure[0].upper()}{measure[1:]} MAE in label units:", "", _table(["method", *datasets], rows), ""]
    return "\n".join(parts)  # a blank line ends the table


def losses(folder: Path) -> str:
    """Tables on which the blend is worse than its best single candidate, or than plain boosting; as `means`."""
    found = _found(folder)
    runs = [(dataset, seed) for dataset, method, seed in found if method == BLEND]
    if not runs:
        return f"`{BLEND}` has no runs yet."
    datasets = sorted({dataset for dataset, _ in runs})
    rows, worse = [], []
    for dataset in datasets:
        cells = [cell for cell in runs if cell[0] == dataset]
        singles = [
            one for one in _methods(found) if _is_candidate(one) and all((dataset, one, s) in found for _, s in cells)
        ]
        best = min(singles, key=lambda one: _mean(found, cells, one, "balanced"))
        ratio = _mean(found, cells, BLEND, "balanced") / _mean(found, cells, best, "balanced")
        if ratio > _WORSE:
            worse.append(dataset)
        against = [_percent(_change(found, cells, BLEND, measure)) for measure in _MEASURES]
        rows.append([dataset, str(len(cells)), *against, f"`{best}`", _percent(ratio)])
    header = ["table", "seeds", *_MEASURES, "best single candidate", "balanced, against it"]
    lost = f"{len(worse)} of {len(datasets)}: {', '.join(worse)}" if worse else f"none of {len(datasets)}"
    return f"{_table(header, rows)}\n\nTables on which `{BLEND}` is more than 3 % worse than the best: {lost}."


def grid(folder: Path) -> str:
    """The blend on the splits of seed 0 against the methods of the comparison of networks there; as `means`.

    A method of that comparison has five seeds on one split, of which the mean is taken.
    """
    found = {key: errors for key, errors in _found(folder).items() if key[2] == 0 and key[1] in {BLEND, PLAIN}}
    root = folder.parents[1]
    by_method: dict[tuple[str, str], list[Errors]] = {}
    for run in read_runs([root / _GRID]):
        if not run.result.method.startswith(PLAIN):
            by_method.setdefault((run.result.dataset, run.result.method), []).append(_errors(run.result.metrics))
    datasets = sorted({dataset for dataset, method, _ in found if method == BLEND})
    if not datasets:
        return f"`{BLEND}` has no run of seed 0 yet."
    for (dataset, method), several in by_method.items():
        if dataset in datasets:
            found[dataset, method, 0] = {name: fmean(one[name] for one in several) for name in _MEASURES}
    cells = [(dataset, 0) for dataset in datasets]
    methods = sorted({method for _, method, _ in found}, key=lambda one: _change(found, cells, one, "balanced"))
    ranks = {measure: _ranks(found, methods, cells, measure) for measure in ("few-shot", "balanced")}
    rows = [
        [
            f"`{method}`",
            *(_percent(_change(found, cells, method, measure)) for measure in _MEASURES),
            *(f"{ranks[measure][method]:.1f}" for measure in ranks),
        ]
        for method in methods
    ]
    header = ["method", *_MEASURES, "rank, few-shot", "rank, balanced"]
    return f"{_table(header, rows)}\n\nOn the {len(cells)} tables that `{BLEND}` has run with seed 0."


def _missing(found: Found) -> str:
    """Which methods have not run on all tables with all seeds."""
    planned = len(TABLES) * SEEDS
    counts = {method: sum(one == method for _, one, _ in found) for method in METHODS}
    some = ", ".join(f"`{method}` {count}" for method, count in counts.items() if 0 < count < planned)
    none = ", ".join(f"`{method}`" for method, count in counts.items() if not count)
    parts = [f"runs so far, of {planned} each: {some}" if some else "", f"not begun: {none}" if none else ""]
    return f"**Not finished; {'; '.join(filter(None, parts))}.** " if some or none else ""


def _found(folder: Path) -> Found:
    """Errors by dataset, method and seed, those of networks on the same splits among them."""
    found = {
        (run.result.dataset, run.result.method, int(run.result.seed or 0)): _errors(run.result.metrics)
        for run in read_runs([folder])
    }
    networks = json.loads((folder.parents[1] / _NETWORKS).read_text(encoding="utf-8"))["runs"]
    return found | {
        (f"table-{run['table']}", run["method"], run["seed"]): _errors(run["metrics"])
        for run in networks
        if not run["method"].startswith(PLAIN)
    }


def _errors(metrics: dict[str, dict[str, float]]) -> Errors:
    return {name: float(metrics[region][metric]) for name, (region, metric) in _MEASURES.items()}


def _methods(found: Found) -> list[str]:
    """Plain boosting, then all others from the lowest to the highest balanced error against it."""
    plain = {(dataset, seed) for dataset, method, seed in found if method == PLAIN}
    own: dict[str, list[tuple[str, int]]] = {}
    for dataset, method, seed in found:
        if (dataset, seed) in plain:
            own.setdefault(method, []).append((dataset, seed))
    return sorted(own, key=lambda one: (one != PLAIN, _change(found, own[one], one, "balanced")))


def _is_candidate(method: str) -> bool:
    return method.startswith(PLAIN) or method in CANDIDATE_NETWORKS


def _mean(found: Found, cells: Iterable[tuple[str, int]], method: str, measure: str) -> float:
    return fmean(found[dataset, method, seed][measure] for dataset, seed in cells)


def _change(found: Found, cells: Sequence[tuple[str, int]], method: str, measure: str) -> float:
    """Mean error over seeds as a ratio to that of plain boosting, geometric mean over tables."""
    ratios = []
    for dataset in {dataset for dataset, _ in cells}:
        own = [cell for cell in cells if cell[0] == dataset]
        ratios.append(_mean(found, own, method, measure) / _mean(found, own, PLAIN, measure))
    return geometric_mean(ratios)


def _ranked(found: Found, methods: Sequence[str]) -> tuple[list[str], list[tuple[str, int]]]:
    """Methods that have most of the runs, six of seven, and the pairs of table and seed that all of them have."""
    pairs = {(dataset, seed) for dataset, _, seed in found}
    count = Counter(method for _, method, _ in found)
    ranked = [method for method in methods if 7 * count[method] >= 6 * len(pairs)]
    return ranked, sorted(pair for pair in pairs if all((pair[0], method, pair[1]) in found for method in ranked))


def _ranks(found: Found, methods: Sequence[str], cells: Sequence[tuple[str, int]], measure: str) -> dict[str, float]:
    """Mean over tables of the rank of the mean error; equal ones share the mean of their ranks."""
    ranks: dict[str, list[float]] = {method: [] for method in methods}
    for dataset in {dataset for dataset, _ in cells}:
        own = [cell for cell in cells if cell[0] == dataset]
        errors = {method: _mean(found, own, method, measure) for method in methods}
        for method, error in errors.items():
            below = sum(other < error for other in errors.values())
            equal = sum(other == error for other in errors.values())
            ranks[method].append(below + (equal + 1) / 2)
    return {method: fmean(own) if own else float("nan") for method, own in ranks.items()}


def _entry(errors: Sequence[float]) -> str:
    if not errors:
        return ""
    return f"{fmean(errors):.3g}" + (f" ± {stdev(errors):.2g}" if len(errors) > 1 else "")


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %".replace("-", "−")  # noqa: RUF001  a minus


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(header, rows, numbers="---:")


KINDS: dict[str, Callable[[Path], str]] = {
    "rare-means": means,
    "rare-values": values,
    "rare-losses": losses,
    "rare-grid": grid,
}
