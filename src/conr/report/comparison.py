"""What a report of three or more methods adds: tables and pictures over all datasets, and the tables as Markdown."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from conr._checks import check_choice
from conr.report.aggregate import DatasetRuns, load_runs
from conr.report.cost import cost_table
from conr.report.grid import coverage_notes, grid_methods, grid_tables
from conr.report.paired import paired_table
from conr.report.published import published_table
from conr.report.ranks import rank_methods, ranks_table
from conr.report.tables import escape_markdown
from conr.report.text_table import TextTable
from conr.report.where import where_sentences, where_table

FEWEST_METHODS = 3


class Comparison(NamedTuple):
    """The tables of a comparison; None or empty where there is nothing to compare, which ``missing`` explains."""

    notes: tuple[str, ...]
    grid: tuple[TextTable, ...]
    paired: TextTable | None
    where: TextTable | None
    ranks: TextTable | None
    cost: TextTable
    missing: tuple[str, ...]


def compare(groups: Sequence[DatasetRuns]) -> Comparison | None:
    """Compare the methods of all datasets; None for fewer than ``FEWEST_METHODS`` methods."""
    if len(grid_methods(groups)) < FEWEST_METHODS:
        return None
    paired, ranks = paired_table(groups), ranks_table(groups)
    missing = [] if paired else [NO_PAIRS]
    missing += [] if ranks else list(rank_methods(groups, "all").notes)
    grid = grid_tables(groups) if len(groups) > 1 else []
    return Comparison(
        tuple(coverage_notes(groups)),
        tuple(grid),
        paired,
        where_table(groups),
        ranks,
        cost_table(groups),
        tuple(missing),
    )


NO_PAIRS = "No paired tests: no method was run both with and without conr."


def comparison_markdown(paths: Iterable[Path], table: str) -> str:
    """Tables of a comparison as Markdown, for documents that are rebuilt from result files.

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


def _grid(groups: Sequence[DatasetRuns]) -> str:
    notes = [escape_markdown(note) for note in coverage_notes(groups)]
    return "\n".join([grid_tables(groups)[0].markdown(), *(f"{note}\n" for note in notes)])


def _paired(groups: Sequence[DatasetRuns]) -> str:
    table = paired_table(groups)
    return f"{NO_PAIRS}\n" if table is None else table.markdown()


def _where(groups: Sequence[DatasetRuns]) -> str:
    table = where_table(groups)
    if table is None:
        return f"{NO_PAIRS}\n"
    sentences = [f"- {escape_markdown(one)}" for one in where_sentences(groups, "few")]
    return "\n".join([*sentences, "", table.markdown()])


def _ranks(groups: Sequence[DatasetRuns]) -> str:
    table = ranks_table(groups)
    if table is not None:
        return table.markdown()
    return "\n\n".join(escape_markdown(note) for note in rank_methods(groups, "all").notes) + "\n"


def _published(groups: Sequence[DatasetRuns]) -> str:
    tables = {group.dataset: published_table(group) for group in groups}
    known = {dataset: table for dataset, table in tables.items() if table is not None}
    parts = [f"**{escape_markdown(dataset)}**: {table.markdown()}" for dataset, table in known.items()]
    return "\n".join(parts) or "No published results of these datasets are known.\n"


TABLES: dict[str, Callable[[Sequence[DatasetRuns]], str]] = {
    "grid": _grid,
    "paired": _paired,
    "ranks": _ranks,
    "where": _where,
    "cost": lambda groups: cost_table(groups).markdown(),
    "published": _published,
}
