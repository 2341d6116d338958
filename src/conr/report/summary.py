"""One dataset in tables and sentences: each metric of each method per shot region."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from conr._checks import check_choice
from conr.density.regions import GROUPS
from conr.report.aggregate import DatasetRuns, Spread, SummaryRow, load_runs
from conr.report.tables import (
    MINUS,
    NOTHING,
    REGION_TITLES,
    Entry,
    TextTable,
    escape_markdown,
    number_text,
    percent_text,
    seeds_text,
    signed_text,
)

if TYPE_CHECKING:
    from rich.table import Table


class Metric(NamedTuple):
    """A metric as it is shown; ``own_unit`` is its unit where that is not the label's."""

    name: str
    title: str
    has_unit: bool
    higher_is_better: bool = False
    own_unit: str = ""


METRICS = (
    Metric("mae", "MAE", has_unit=True),
    Metric("gm", "Geometric mean of errors", has_unit=True),
    Metric("bmae", "Balanced MAE", has_unit=True),
    Metric("mse", "MSE", has_unit=False),
    Metric("rmse", "RMSE", has_unit=True),
    Metric("angular", "Angular error", has_unit=True, own_unit="degrees"),
    Metric("abs_rel", "Absolute relative error", has_unit=False),
    Metric("log10", "Error of the decimal logarithm", has_unit=False),
    Metric("delta1", "Share within a factor of 1.25", has_unit=False, higher_is_better=True),
    Metric("delta2", "Share within a factor of 1.25²", has_unit=False, higher_is_better=True),
    Metric("delta3", "Share within a factor of 1.25³", has_unit=False, higher_is_better=True),
    Metric("pearson", "Pearson correlation", has_unit=False, higher_is_better=True),
    Metric("spearman", "Spearman correlation", has_unit=False, higher_is_better=True),
)


def shown_metrics(group: DatasetRuns) -> list[Metric]:
    """The metrics that all runs of a dataset have, in the order of ``METRICS`` but the headline first."""
    known = [one for one in METRICS if all(one.name in row.metrics["all"] for row in group.rows)]
    return sorted(known, key=lambda one: one.name != group.first.headline)


def headline_metric(group: DatasetRuns) -> Metric:
    """The metric that sentences and small tables compare."""
    return shown_metrics(group)[0]


def unit_of(metric: Metric, group: DatasetRuns) -> str:
    """The unit in which a metric is given, empty if it has none."""
    return (metric.own_unit or str(group.first.label["unit"])) if metric.has_unit else ""


def metric_entries(rows: Sequence[SummaryRow], metric: Metric, *, changes: bool = False) -> list[list[Entry]]:
    """Print one metric of all methods of a dataset: for each row of the summary one entry per region.

    All values have the same number of decimals: three significant digits of the smallest mean, three decimals for a
    correlation. Values that are printed alike are alike: all the best ones are marked.

    Args:
        rows: of one dataset, the baseline first.
        metric: one that all rows have.
        changes: whether an entry has the change against the baseline below its value.
    """
    spreads = [[row.metrics[region][metric.name] for region in GROUPS] for row in rows]
    decimals = shown_decimals(metric, [one.mean for line in spreads for one in line])
    columns = [_column(column, metric, decimals, rows) for column in zip(*spreads, strict=True)]
    if changes:
        columns = [
            [entry if row.is_baseline else _with_change(entry, row, region, metric, rows[0]) for entry, row in column]
            for region, column in zip(GROUPS, (zip(column, rows, strict=True) for column in columns), strict=True)
        ]
    return [list(line) for line in zip(*columns, strict=True)]


def metric_table(group: DatasetRuns, metrics: Sequence[Metric], caption: str, *, changes: bool = False) -> TextTable:
    """Methods by shot regions, one group of rows per metric.

    Args:
        group: the runs on one dataset.
        metrics: some that all runs have.
        caption: of the table.
        changes: whether the change against the baseline stands below each value, and the number of test samples below
            each region.
    """
    counts = {region: f"{int(group.first.metrics[region]['count'])} samples" for region in GROUPS}
    header = [Entry(REGION_TITLES[region], counts[region] if changes else "") for region in GROUPS]
    parts = []
    for metric in metrics:
        unit, direction = unit_of(metric, group), "higher" if metric.higher_is_better else "lower"
        cells = metric_entries(group.rows, metric, changes=changes)
        lines: list[list[Entry | str]] = [
            [row.method, str(row.seeds), *line] for row, line in zip(group.rows, cells, strict=True)
        ]
        parts.append((f"{metric.title}{', ' if unit else ''}{unit} · {direction} is better", lines))
    return TextTable.of(caption, ("method", "seeds", *header), parts=parts)


def summary_markdown(paths: Iterable[Path], baseline: str | None = None) -> str:
    """Write Markdown tables of the headline metric per shot region, one per dataset.

    Args:
        paths: result files, folders of runs, or folders above.
        baseline: the method to compare with; see `summary_table`.

    Returns:
        A caption and a table per dataset; the best mean of a column is bold.

    Raises:
        FileNotFoundError, ValueError: as `load_runs`.
    """
    parts = []
    for group in load_runs(paths, baseline=baseline):
        metric = headline_metric(group)
        caption = f"{_of_label(group, metric)}, mean ± standard deviation over seeds"
        parts.append(f"**{escape_markdown(group.dataset)}**: {metric_table(group, [metric], caption).markdown()}")
    return "\n".join(parts)


def terminal_table(group: DatasetRuns, *, metric: str | None = None) -> "Table":
    """Make a table of one metric per shot region, as `rich.console.Console.print` shows it.

    Args:
        group: the runs on one dataset, from `load_runs`.
        metric: name of a metric that all runs have; the headline if None.

    Returns:
        A row per method: mean ± standard deviation over seeds, below it the change against the first row.

    Raises:
        ValueError: an unknown metric.
    """
    by_name = {one.name: one for one in shown_metrics(group)}
    name = group.first.headline if metric is None else metric
    check_choice("metric", name, by_name)
    caption = f"{group.dataset}: {_of_label(group, by_name[name])}"
    return metric_table(group, [by_name[name]], caption, changes=True).terminal()


def summary_sentences(group: DatasetRuns) -> list[str]:
    """Say in words how the headline metric of each method compares with the baseline's, for better and for worse."""
    baseline, *others = group.rows
    metric = headline_metric(group)
    decimals = shown_decimals(
        metric, [row.metrics[region][metric.name].mean for row in group.rows for region in GROUPS]
    )
    return [_comparison(row, baseline, metric, unit_of(metric, group), decimals) for row in others] or [
        f"There is no other method to compare {baseline.method} with."
    ]


def _comparison(row: SummaryRow, baseline: SummaryRow, metric: Metric, unit: str, decimals: int) -> str:
    clauses: list[str] = []
    within: list[str] = []
    for region in ("few", "median", "many", "all"):
        before, after = baseline.metrics[region][metric.name], row.metrics[region][metric.name]
        if not (before.seeds and after.seeds):
            continue
        labels = "all labels" if region == "all" else REGION_TITLES[region]
        clauses.append(f"{labels} {_movement(before.mean, after.mean, unit, decimals)}")
        # NaN for a single seed, which is within nothing.
        if before.mean != after.mean and abs(after.mean - before.mean) <= math.hypot(before.std, after.std):
            within.append(labels)
    start = f"{row.method} against {baseline.method}, {metric.title}:"
    if not clauses:
        return f"{start} undefined in one of them."
    text = f"{start} {', '.join(clauses)}."
    if 1 in (row.seeds, baseline.seeds):
        return f"{text} With one seed, how much of this is chance is unknown."
    if within:
        text += f" Within the standard deviation between seeds: {', '.join(within)}."
    same = row.seeds == baseline.seeds
    return f"{text} {seeds_text(row.seeds)} {'each' if same else f'against {baseline.seeds}'}."


def _movement(before: float, after: float, unit: str, decimals: int) -> str:
    old, new = number_text(before, decimals), number_text(after, decimals)
    unit = f" {unit}" if unit else ""
    if old == new:
        return f"stays at {new}{unit}"
    percent = f" ({percent_text((after - before) / before)})" if before else ""
    return f"{'falls' if after < before else 'rises'} from {old} to {new}{unit}{percent}"


def _column(column: Sequence[Spread], metric: Metric, decimals: int, rows: Sequence[SummaryRow]) -> list[Entry]:
    printed = [number_text(one.mean, decimals) for one in column]
    known = [(one.mean, text) for one, text in zip(column, printed, strict=True) if one.seeds]
    best = (max if metric.higher_is_better else min)(known)[1] if len(known) > 1 else None
    return [
        Entry(_with_spread(text, one, row.seeds, decimals), best=one.seeds > 0 and text == best)
        for text, one, row in zip(printed, column, rows, strict=True)
    ]


def _with_change(entry: Entry, row: SummaryRow, region: str, metric: Metric, baseline: SummaryRow) -> Entry:
    change = _change(row, region, metric, baseline)
    if change == NOTHING:
        return entry
    verdict = ""
    if change[0] in (MINUS, "+"):
        verdict = "better" if (change[0] == "+") == metric.higher_is_better else "worse"
    return entry._replace(detail=change, verdict=verdict)


def _change(row: SummaryRow, region: str, metric: Metric, baseline: SummaryRow) -> str:
    if metric.higher_is_better:  # a percentage of a correlation says nothing
        return signed_text(row.metrics[region][metric.name].mean - baseline.metrics[region][metric.name].mean, 3)
    return percent_text(row.changes[region][metric.name] / 100)


def _with_spread(text: str, value: Spread, seeds: int, decimals: int) -> str:
    if value.seeds == 0:
        return NOTHING
    some = "" if value.seeds == seeds else f" ({value.seeds} of {seeds} seeds)"
    spread = "" if math.isnan(value.std) else f" ± {number_text(value.std, decimals)}"  # one seed has none
    return f"{text}{spread}{some}"


def shown_decimals(metric: Metric, values: Sequence[float]) -> int:
    """Decimals of values that stand beside each other: three significant digits of the smallest one."""
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if metric.higher_is_better or not sizes:
        return 3
    return min(max(2 - math.floor(math.log10(min(sizes))), 1), 4)


def _of_label(group: DatasetRuns, metric: Metric) -> str:
    unit = unit_of(metric, group)
    return f"{metric.title} of {group.first.label['name']}" + (f" in {unit}" if unit else "")
