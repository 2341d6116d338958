"""The tables that a report of three or more methods adds: errors, ranks and published results over all datasets."""

import math
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from conr._checks import check_choice
from conr.density.regions import GROUPS
from conr.report.aggregate import DatasetRuns, load_runs
from conr.report.cost import cost_table
from conr.report.paired import PART, changes_sentences, changes_table, error_of, grid_methods, p_text, paired_table
from conr.report.statistics import ALPHA, AverageRanks, average_ranks
from conr.report.summary import METRICS, Metric, headline_metric, metric_entries, shown_metrics
from conr.report.tables import NOT_RUN, NOTHING, REGION_TITLES, Entry, TextTable, escape_markdown, join_words

FEWEST_METHODS = 3
FEWEST_DATASETS = 2
GRID_METRICS = ("mae", "gm", "bmae")
NO_PAIRS = f"No paired tests: no method was run both with and without {PART}."


class Comparison(NamedTuple):
    """The tables of a comparison; None or empty where there is nothing to compare, which ``missing`` explains."""

    notes: tuple[str, ...]
    grid: tuple[TextTable, ...]
    paired: TextTable | None
    where: TextTable | None
    ranks: TextTable | None
    cost: TextTable
    missing: tuple[str, ...]


class Ranking(NamedTuple):
    """Methods ranked by mean headline error over seeds, on datasets where all of them have one."""

    region: str  # a shot region, or "all"
    methods: tuple[str, ...]  # from the best average rank to the worst
    datasets: tuple[str, ...]  # their names
    found: AverageRanks | None  # ranks in the order of `methods`; None with too few methods or datasets
    notes: tuple[str, ...]  # methods and datasets that were left out, and why there are no ranks if so


def compare(groups: Sequence[DatasetRuns]) -> Comparison | None:
    """Compare the methods of all datasets; None if no dataset has ``FEWEST_METHODS`` methods."""
    if max(len(group.methods) for group in groups) < FEWEST_METHODS:
        return None
    paired, ranks = paired_table(groups), ranks_table(groups)
    missing = [] if paired else [NO_PAIRS]
    missing += [] if ranks else list(rank_methods(groups, "all").notes)
    return Comparison(
        tuple(coverage_notes(groups)),
        tuple(grid_tables(groups) if len(groups) > 1 else []),
        paired,
        changes_table(groups),
        ranks,
        cost_table(groups),
        tuple(missing),
    )


def comparison_markdown(paths: Iterable[Path], table: str) -> str:
    """Write tables of a comparison as Markdown, for documents that are rebuilt from result files.

    Args:
        paths: result files, folders of runs, or folders above.
        table: "grid" (methods by datasets, headline metrics, and what is missing), "paired" (X against X + conr),
            "where" (the same for each dataset, and in words), "ranks" (average ranks and their tests), "cost" (time per
            epoch and memory) or "published" (our results above published ones, of the datasets that have some).

    Returns:
        A caption, the table and notes; a sentence if there is nothing to compare.

    Raises:
        ValueError: an unknown table, or as `load_runs`.
        FileNotFoundError: no result file.
    """
    check_choice("table", table, TABLES)
    return TABLES[table](load_runs(paths))


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
    headlines = {headline_metric(group) for group in groups}
    names = ", ".join(f"{headline_metric(group).title} on {group.dataset}" for group in groups)
    title = next(iter(headlines)).title if len(headlines) == 1 else f"Headline metric of each dataset: {names}"
    tables = [_grid_table(groups, None, title)]
    for metric in METRICS:
        having = [group for group in groups if metric in shown_metrics(group)]
        if metric.name in GRID_METRICS and having and headlines != {metric}:
            tables.append(_grid_table(having, metric, metric.title))
    return tables


def rank_methods(groups: Sequence[DatasetRuns], region: str) -> Ranking:
    """Rank the methods that have an error on every dataset; the others are named in the notes."""
    errors = {group.dataset: _mean_errors(group, region) for group in groups}
    undefined = [dataset for dataset, found in errors.items() if all(map(math.isnan, found.values()))]
    datasets = [dataset for dataset in errors if dataset not in undefined]
    notes = [f"{dataset} is not ranked: no method has an error there." for dataset in undefined]
    methods = []
    for method in grid_methods(groups):
        lacking = [dataset for dataset in datasets if math.isnan(errors[dataset].get(method, math.nan))]
        if lacking:
            notes.append(f"{method} is not ranked: it has no error on {', '.join(lacking)}.")
        elif datasets:
            methods.append(method)
    if len(datasets) < FEWEST_DATASETS or len(methods) < FEWEST_METHODS:
        notes.append(
            f"No ranks: they need at least {FEWEST_DATASETS} datasets and {FEWEST_METHODS} methods on all of them, "
            f"here are {len(datasets)} and {len(methods)}."
        )
        return Ranking(region, tuple(methods), tuple(datasets), None, tuple(notes))
    found = average_ranks([[errors[dataset][method] for method in methods] for dataset in datasets])
    order = sorted(range(len(methods)), key=lambda index: (found.ranks[index], index))
    ordered = tuple(methods[index] for index in order)
    return Ranking(region, ordered, tuple(datasets), found._replace(ranks=found.ranks[order]), tuple(notes))


def ranks_table(groups: Sequence[DatasetRuns]) -> TextTable | None:
    """Tabulate average ranks per shot region, with the tests below; None if no region can be ranked."""
    rankings = [rank_methods(groups, region) for region in GROUPS]
    ranked = [one for one in rankings if one.found is not None]
    if not ranked:
        return None
    lines: dict[str, list[Entry | str]] = {method: [method] for one in ranked for method in one.methods}
    regions_of: dict[str, list[str]] = {}
    for one in rankings:
        places = {} if one.found is None else dict(zip(one.methods, one.found.ranks.tolist(), strict=True))
        lowest = min(places.values(), default=math.nan)
        for method, line in lines.items():
            place = places.get(method)
            line.append(NOTHING if place is None else Entry(f"{place:.2f}", best=place == lowest))
        for note in one.notes:
            regions_of.setdefault(note, []).append(REGION_TITLES[one.region])
    notes = [
        note if len(regions) == len(rankings) else f"{', '.join(regions)}: {note}"
        for note, regions in regions_of.items()
    ]
    return TextTable.of(
        "Average rank by the mean headline error over seeds; 1 would be the best method on every dataset.",
        ("method", *(REGION_TITLES[region] for region in GROUPS)),
        lines.values(),
        notes=[*notes, *(_ranks_sentence(one, one.found) for one in ranked if one.found is not None)],
    )


def published_results(dataset: str) -> dict[str, Any] | None:
    """The published results of a dataset, out of the data files in ``published/``; None if there are none.

    Returns:
        ``sources`` (what each letter stands for), ``notes`` (how these numbers differ from ours), and ``rows``, each
        with ``method``, ``source`` and by metric the values of all, many, median and few, None where unknown.
    """
    path = resources.files("conr.report").joinpath("published", f"{dataset}.yaml")
    if not path.is_file():
        return None
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = published_results(content["same_as"]) if "same_as" in content else None
    return {**(base or {}), **content}


def published_table(group: DatasetRuns) -> TextTable | None:
    """Our results and the published ones, one group of rows per metric; None if the dataset has none in our metrics."""
    content = published_results(group.dataset)
    if content is None:
        return None
    parts = []
    for metric in METRICS:
        rows = [row for row in content["rows"] if metric.name in row]
        if not rows or metric not in shown_metrics(group):
            continue
        decimals = max(len(str(value).partition(".")[2]) for row in rows for value in row[metric.name] if value)
        lines: list[list[Entry | str]] = [
            [row.method, "ours", *(entry._replace(best=False) for entry in line)]
            for row, line in zip(group.rows, metric_entries(group.rows, metric), strict=True)
        ]
        for row in rows:
            values = [NOTHING if value is None else f"{value:.{decimals}f}" for value in row[metric.name]]
            lines.append([row["method"], f"published ({row['source']})", *values])
        parts.append((metric.title, lines))
    if not parts:
        return None
    used = sorted({row["source"] for row in content["rows"]})
    return TextTable.of(
        "Our results above published ones, which are in no rank and in no test.",
        ("method", "source", *(REGION_TITLES[region] for region in GROUPS)),
        parts=parts,
        notes=[*content.get("notes", []), *(f"{letter}: {content['sources'][letter]}" for letter in used)],
    )


def _grid_table(groups: Sequence[DatasetRuns], metric: Metric | None, title: str) -> TextTable:
    cells = {
        (group.dataset, row.method): line
        for group in groups
        for row, line in zip(group.rows, metric_entries(group.rows, metric or headline_metric(group)), strict=True)
    }
    not_run, methods = [NOT_RUN] * len(GROUPS), grid_methods(groups)
    parts = []
    for place, region in enumerate(GROUPS):
        lines: list[list[Entry | str]] = [
            [method, *(cells.get((group.dataset, method), not_run)[place] for group in groups)] for method in methods
        ]
        parts.append((REGION_TITLES[region], lines))
    return TextTable.of(
        f"{title}. Mean ± standard deviation over seeds; the best mean of a column is bold.",
        ("method", *(group.dataset for group in groups)),
        parts=parts,
    )


def _mean_errors(group: DatasetRuns, region: str) -> dict[str, float]:
    """Mean headline error over seeds of each method, NaN if undefined."""
    name = headline_metric(group).name
    return {row.method: error_of(group, row.metrics[region][name].mean) for row in group.rows}


def _ranks_sentence(ranking: Ranking, found: AverageRanks) -> str:
    where = f"{REGION_TITLES[ranking.region]}, {len(ranking.datasets)} datasets, {len(ranking.methods)} methods"
    if math.isnan(found.p):
        return f"Friedman's test ({where}): all methods rank alike."
    verdict = "some methods differ" if found.p <= ALPHA else "no method is shown to differ from another"
    return (
        f"Friedman's test ({where}): p {'' if found.p < 0.001 else '= '}{p_text(found.p)}, {verdict}. "
        f"Nemenyi's critical difference of two ranks is {found.critical_difference:.2f}."
    )


def _grid_markdown(groups: Sequence[DatasetRuns]) -> str:
    notes = [escape_markdown(note) for note in coverage_notes(groups)]
    return "\n".join([grid_tables(groups)[0].markdown(), *(f"{note}\n" for note in notes)])


def _table_or_why(table: TextTable | None, why: Iterable[str]) -> str:
    return "\n\n".join(map(escape_markdown, why)) + "\n" if table is None else table.markdown()


def _where_markdown(groups: Sequence[DatasetRuns]) -> str:
    sentences = "".join(f"- {escape_markdown(one)}\n" for one in changes_sentences(groups, "few"))
    return f"{sentences}\n".lstrip() + _table_or_why(changes_table(groups), [NO_PAIRS])


def _published_markdown(groups: Sequence[DatasetRuns]) -> str:
    tables = {group.dataset: published_table(group) for group in groups}
    known = {dataset: table for dataset, table in tables.items() if table is not None}
    parts = [f"**{escape_markdown(dataset)}**: {table.markdown()}" for dataset, table in known.items()]
    return "\n".join(parts) or "No published results of these datasets are known.\n"


TABLES: dict[str, Callable[[Sequence[DatasetRuns]], str]] = {
    "grid": _grid_markdown,
    "paired": lambda groups: _table_or_why(paired_table(groups), [NO_PAIRS]),
    "ranks": lambda groups: _table_or_why(ranks_table(groups), rank_methods(groups, "all").notes),
    "where": _where_markdown,
    "cost": lambda groups: cost_table(groups).markdown(),
    "published": _published_markdown,
}
