"""Tables and sentences: numbers as they are printed, on a page, in Markdown and in a terminal."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from conr._checks import check_choice
from conr.density.regions import GROUPS
from conr.report.aggregate import DatasetRuns, Spread, SummaryRow, load_runs

REGION_TITLES = {"all": "all", "many": "many-shot", "median": "median-shot", "few": "few-shot"}
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


class Metric(NamedTuple):
    """How a metric is shown; ``own_unit`` is its unit where that is not the label's."""

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
MAIN_METRICS = 3


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


class Cell(NamedTuple):
    """A printed value, its signed change against the baseline, and whether that is "better" or "worse"."""

    value: str
    change: str
    verdict: str
    best: bool


class MetricTable(NamedTuple):
    """One metric: for each row of the summary, in its order, one cell per region."""

    metric: Metric
    cells: list[list[Cell]]


def metric_table(rows: Sequence[SummaryRow], metric: Metric) -> MetricTable:
    """Print one metric of all methods of a dataset.

    All values have the same number of decimals: three significant digits of the smallest mean, three decimals for a
    correlation. Values that are printed alike are alike: all the best ones are marked.
    """
    spreads = [[row.metrics[region][metric.name] for region in GROUPS] for row in rows]
    decimals = _decimals(metric, [one.mean for line in spreads for one in line])
    printed = [[number_text(one.mean, decimals) for one in line] for line in spreads]
    best = []
    for column, texts in zip(zip(*spreads, strict=True), zip(*printed, strict=True), strict=True):
        known = [(one.mean, text) for one, text in zip(column, texts, strict=True) if one.seeds]
        choose = max if metric.higher_is_better else min
        best.append(choose(known)[1] if len(known) > 1 else None)
    cells = []
    for row, line, values in zip(rows, spreads, printed, strict=True):
        changes = [NOTHING if row.is_baseline else _change(row, region, metric, rows[0]) for region in GROUPS]
        cells.append(
            [
                Cell(
                    value=_with_spread(text, one, row.seeds, decimals),
                    change="" if row.is_baseline or change == NOTHING else change,
                    verdict=_verdict(change, metric),
                    best=one.seeds > 0 and text == winner,
                )
                for text, one, change, winner in zip(values, line, changes, best, strict=True)
            ]
        )
    return MetricTable(metric, cells)


def summary_sentences(group: DatasetRuns) -> list[str]:
    """Say in words how the headline metric of each method compares with the baseline's, for better and for worse."""
    baseline, *others = group.rows
    metric = headline_metric(group)
    unit = unit_of(metric, group)
    decimals = _decimals(metric, [row.metrics[region][metric.name].mean for row in group.rows for region in GROUPS])
    if not others:
        mae = number_text(baseline.metrics["all"][metric.name].mean, decimals)
        few = baseline.metrics["few"][metric.name]
        rare = f", {number_text(few.mean, decimals)} in the few-shot region" if few.seeds else ""
        text = f"{baseline.method} has {_a(metric.title)} of {_quantity(mae, unit)} over all test labels{rare}"
        return [f"{text} ({seeds_text(baseline.seeds)}). There is no other method to compare it with."]
    return [_comparison(row, baseline, metric, unit, decimals) for row in others]


def summary_markdown(paths: Iterable[Path], baseline: str | None = None) -> str:
    """Markdown tables of the headline metric per shot region, one per dataset.

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
        table = metric_table(group.rows, metric)
        what = f"{metric.title}{_of_label(group, metric)}, mean ± standard deviation over seeds"
        lines = [
            f"**{escape_markdown(group.dataset)}**: {what}",
            "",
            f"| method | seeds | {' | '.join(REGION_TITLES[region] for region in GROUPS)} |",
            f"|---|---|{'---|' * len(GROUPS)}",
        ]
        for row, cells in zip(group.rows, table.cells, strict=True):
            values = [f"**{cell.value}**" if cell.best else cell.value for cell in cells]
            lines.append(f"| {escape_markdown(row.method)} | {row.seeds} | {' | '.join(values)} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def terminal_table(group: DatasetRuns, *, metric: str | None = None) -> Table:
    """A table of one metric per shot region, as `rich.console.Console.print` shows it.

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
    shown = by_name[name]
    table = Table(title=f"{escape(group.dataset)}: {shown.title}{_of_label(group, shown)}")
    table.add_column("method")
    for title in ("seeds", *(REGION_TITLES[region] for region in GROUPS)):
        table.add_column(title, justify="right")
    colors = {"better": "green", "worse": "red", "": "default"}
    for row, cells in zip(group.rows, metric_table(group.rows, shown).cells, strict=True):
        texts = []
        for cell in cells:
            value = f"[bold]{cell.value}[/bold]" if cell.best else cell.value
            color = colors[cell.verdict]
            texts.append(value + (f"\n[{color}]{cell.change}[/{color}]" if cell.change else ""))
        table.add_row(escape(row.method), str(row.seeds), *texts)
    return table


def _comparison(row: SummaryRow, baseline: SummaryRow, metric: Metric, unit: str, decimals: int) -> str:
    clauses: list[str] = []
    within: list[str] = []
    for region in ("few", "median", "many", "all"):
        before, after = baseline.metrics[region][metric.name], row.metrics[region][metric.name]
        if not (before.seeds and after.seeds):
            continue
        where = "over all test labels" if region == "all" else f"of the {REGION_TITLES[region]} region"
        what = f"the {_in_a_sentence(metric.title)} {where}"
        clauses.append(_clause(before.mean, after.mean, what, unit if not clauses else "", decimals))
        # NaN for a single seed, which is within nothing.
        if before.mean != after.mean and abs(after.mean - before.mean) <= math.hypot(before.std, after.std):
            within.append("over all test labels" if region == "all" else f"in the {REGION_TITLES[region]} region")
    if not clauses:
        return (
            f"{row.method} cannot be compared with {baseline.method}: the {metric.title} of one of them is undefined."
        )
    text = f"{row.method} {join_words(clauses)}."
    if row.seeds == 1 or baseline.seeds == 1:
        count = "One seed each" if row.seeds == baseline.seeds else "One seed of one of them"
        return f"{text} {count}: how much of this is chance is unknown."
    if within:
        what, verb = ("difference", "is") if len(within) == 1 else ("differences", "are")
        text += f" The {what} {join_words(within)} {verb} within the standard deviation between seeds."
    same = row.seeds == baseline.seeds
    return f"{text} {seeds_text(row.seeds)} {'each' if same else f'against {baseline.seeds}'}."


def _clause(before: float, after: float, what: str, unit: str, decimals: int) -> str:
    old, new = number_text(before, decimals), number_text(after, decimals)
    if old == new:
        return f"leaves {what} at {_quantity(new, unit)}"
    verb = "lowers" if after < before else "raises"
    percent = f" ({signed_text((after - before) / before * 100, 1)} %)" if before else ""
    return f"{verb} {what} from {old} to {_quantity(new, unit)}{percent}"


def _change(row: SummaryRow, region: str, metric: Metric, baseline: SummaryRow) -> str:
    if metric.higher_is_better:  # a percentage of a correlation says nothing
        difference = row.metrics[region][metric.name].mean - baseline.metrics[region][metric.name].mean
        return signed_text(difference, 3)
    percent = row.changes[region][metric.name]
    return NOTHING if math.isnan(percent) else f"{signed_text(percent, 1)} %"


def _verdict(change: str, metric: Metric) -> str:
    if change[0] not in (MINUS, "+"):
        return ""
    return "better" if (change[0] == "+") == metric.higher_is_better else "worse"


def _with_spread(text: str, value: Spread, seeds: int, decimals: int) -> str:
    if value.seeds == 0:
        return NOTHING
    some = "" if value.seeds == seeds else f" ({value.seeds} of {seeds} seeds)"
    spread = "" if math.isnan(value.std) else f" ± {number_text(value.std, decimals)}"  # one seed has none
    return f"{text}{spread}{some}"


def _decimals(metric: Metric, values: Sequence[float]) -> int:
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if metric.higher_is_better or not sizes:
        return 3
    return min(max(2 - math.floor(math.log10(min(sizes))), 1), 4)


def number_text(value: float, decimals: int) -> str:
    """A number with so many decimals; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.{decimals}f}".replace("-", MINUS)


def signed_text(value: float, decimals: int) -> str:
    """A number with its sign, zero without one; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    text = f"{abs(value):.{decimals}f}"
    return text if float(text) == 0 else f"{MINUS if value < 0 else '+'}{text}"


def _of_label(group: DatasetRuns, metric: Metric) -> str:
    unit = unit_of(metric, group)
    return f" of {group.first.label['name']}" + (f" in {unit}" if unit else "")


def _quantity(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit else number


def _a(title: str) -> str:
    return f"an {title}" if title[0] in "AEIOUMR" else f"a {_in_a_sentence(title)}"


def _in_a_sentence(title: str) -> str:
    return title if title.isupper() else title[0].lower() + title[1:]


def seeds_text(count: int) -> str:
    """So many seeds, in words."""
    return f"{count} seed{'' if count == 1 else 's'}"


def join_words(parts: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def escape_markdown(text: str) -> str:
    """Text as a Markdown table holds it."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
