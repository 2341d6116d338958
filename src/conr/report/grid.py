"""A grid of datasets, methods and seeds as tables: what was run, what is missing, and who is best where."""

from collections.abc import Iterable, Sequence

from conr.density.regions import GROUPS
from conr.report.aggregate import BASELINE_NAMES, DatasetRuns
from conr.report.tables import (
    METRICS,
    REGION_TITLES,
    Metric,
    headline_metric,
    join_words,
    metric_table,
    shown_metrics,
)
from conr.report.text_table import Entry, TextTable, rows_of

PART = "conr"
GRID_METRICS = ("mae", "gm", "bmae")
NOT_RUN = Entry("not run")


def without_part(method: str, part: str = PART) -> str | None:
    """The method's name without one of its ``+`` parts: "" if it is the only one, None if it has no such part."""
    parts = method.split("+")
    return "+".join(one for one in parts if one != part) if part in parts else None


def method_pairs(methods: Iterable[str], part: str = PART) -> list[tuple[str, str]]:
    """Methods that were run both without and with a part, as (X, X + part).

    The part alone is paired with the method called "baseline" or "vanilla"; the order of parts does not matter.
    """
    names = list(methods)
    by_parts = {frozenset(name.split("+")): name for name in names}
    pairs = []
    for name in names:
        rest = without_part(name, part)
        if rest is None:
            continue
        plain = next((one for one in BASELINE_NAMES if one in names), None) if rest == "" else None
        partner = plain if rest == "" else by_parts.get(frozenset(rest.split("+")))
        if partner is not None:
            pairs.append((partner, name))
    return sorted(pairs, key=lambda pair: _grid_order(pair[0]))


def grid_methods(groups: Sequence[DatasetRuns]) -> list[str]:
    """All methods of all datasets: baselines first, then by name, X and X + conr together."""
    return sorted({method for group in groups for method in group.methods}, key=_grid_order)


def error_of(group: DatasetRuns, value: float) -> float:
    """A value of the headline metric as an error: 1 - value where higher is better."""
    return 1 - value if headline_metric(group).higher_is_better else value


def mean_error(group: DatasetRuns, method: str, region: str) -> float:
    """Mean headline error over seeds, NaN if undefined."""
    (row,) = [row for row in group.rows if row.method == method]
    return error_of(group, row.metrics[region][headline_metric(group).name].mean)


def seed_errors(group: DatasetRuns, method: str, region: str) -> dict[int, float]:
    """Headline error per seed, NaN where undefined; runs without a seed are left out."""
    name = headline_metric(group).name
    return {
        run.result.seed: error_of(group, run.result.metrics[region][name])
        for run in group.methods[method]
        if run.result.seed is not None
    }


def coverage_notes(groups: Sequence[DatasetRuns]) -> list[str]:
    """Say which methods lack a dataset, and which lack seeds that others have there."""
    notes = []
    methods = grid_methods(groups)
    for group in groups:
        missing = [method for method in methods if method not in group.methods]
        if missing:
            notes.append(f"Not run on {group.dataset}: {', '.join(missing)}.")
        seeds = {method: {run.result.seed for run in runs} - {None} for method, runs in group.methods.items()}
        wanted = set().union(*seeds.values())
        for method, found in seeds.items():
            lacking = sorted(str(seed) for seed in wanted - found)
            if found and lacking:
                plural = "s" if len(lacking) > 1 else ""
                notes.append(f"On {group.dataset}, {method} lacks seed{plural} {join_words(lacking)}.")
    return notes


def grid_tables(groups: Sequence[DatasetRuns]) -> list[TextTable]:
    """Methods by datasets, one group of rows per shot region: the headline metrics, then MAE, GM and balanced MAE.

    Cells are mean ± standard deviation over seeds, the best mean of a column bold. A metric that is the headline of all
    datasets is not repeated.
    """
    headlines = {headline_metric(group).name for group in groups}
    names = ", ".join(f"{headline_metric(group).title} on {group.dataset}" for group in groups)
    (only,) = [one.title for one in METRICS if one.name in headlines] if len(headlines) == 1 else ("",)
    tables = [_grid_table(groups, None, only or f"Headline metric of each dataset: {names}")]
    for metric in METRICS:
        having = [group for group in groups if metric in shown_metrics(group)]
        if metric.name in GRID_METRICS and having and headlines != {metric.name}:
            tables.append(_grid_table(having, metric, metric.title))
    return tables


def _grid_table(groups: Sequence[DatasetRuns], metric: Metric | None, title: str) -> TextTable:
    cells: dict[tuple[str, str, str], Entry] = {}
    for group in groups:
        table = metric_table(group.rows, metric or headline_metric(group))
        for row, line in zip(group.rows, table.cells, strict=True):
            for region, cell in zip(GROUPS, line, strict=True):
                cells[group.dataset, row.method, region] = Entry(cell.value, best=cell.best)
    methods = grid_methods(groups)
    parts = tuple(
        (
            REGION_TITLES[region],
            rows_of(
                [
                    [method, *(cells.get((group.dataset, method, region), NOT_RUN) for group in groups)]
                    for method in methods
                ]
            ),
        )
        for region in GROUPS
    )
    caption = f"{title}. Mean ± standard deviation over seeds; the best mean of a column is bold."
    return TextTable(caption, ("method", *(group.dataset for group in groups)), parts)


def _grid_order(method: str) -> tuple[bool, str, bool]:
    rest = without_part(method)
    plain = method if rest is None else rest
    is_baseline = plain in ("", *BASELINE_NAMES)
    return (not is_baseline, "" if is_baseline else plain, rest is not None)
