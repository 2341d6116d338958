"""The report: one HTML file that needs nothing else."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from conr.density.regions import GROUPS
from conr.report.aggregate import DatasetRuns, load_runs
from conr.report.comparison import compare
from conr.report.configuration import configuration_differences, configuration_text, unequal_runs
from conr.report.gallery import MOST_COMPARED, dataset_gallery, ranks_gallery, trade_off_gallery
from conr.report.grid import GRID_METRICS
from conr.report.html import write_page
from conr.report.published import published_table
from conr.report.style import REGION_COLORS, MethodStyles
from conr.report.tables import (
    MAIN_METRICS,
    NOTHING,
    REGION_TITLES,
    headline_metric,
    metric_table,
    shown_metrics,
    summary_sentences,
)
from conr.runs.failures import Failure, find_failures
from conr.runs.runs import Run


def write_report(
    paths: Iterable[Path], out: Path, *, baseline: str | None = None, title: str = "Comparison of methods"
) -> Path:
    """Write one HTML page that compares all tested runs at or below the paths.

    The page holds its style and pictures: it is read without a network, on paper, on a phone, light or dark. Runs that
    failed (``failure.json`` of a grid) stand first.

    Args:
        paths: result files, folders of runs, or folders above.
        out: the file to write, complete or not at all; its folder is made.
        baseline: the method to compare with; by default the one called "baseline" or "vanilla", else the first by name.
        title: of the page.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: no result file.
        ValueError: a broken file, an unknown baseline, or runs of one dataset with different label bins.
        OSError: the page cannot be written.
    """
    paths = list(paths)
    groups = load_runs(paths, baseline=baseline)
    styles = MethodStyles(groups)
    comparison = _comparison(groups, styles)
    return write_page(
        out,
        "conr.report",
        "report.html.j2",
        title=title,
        comparison=comparison,
        failures=[_failure_row(folder, failure) for folder, failure in find_failures(paths)],
        sections=[_section(group, styles, compared=comparison is not None) for group in groups],
        regions=GROUPS,
        region_titles=REGION_TITLES,
        region_colors=REGION_COLORS,
        colors={method: styles.color(method) for group in groups for method in group.methods},
    )


def _comparison(groups: Sequence[DatasetRuns], styles: MethodStyles) -> dict[str, Any] | None:
    found = compare(groups)
    if found is None:
        return None
    return {
        **found._asdict(),
        "trade_offs": trade_off_gallery(groups),
        "rank_pictures": ranks_gallery(groups, styles),
        "title": "All datasets" if len(groups) > 1 else "All methods",
    }


def _section(group: DatasetRuns, styles: MethodStyles, *, compared: bool) -> dict[str, Any]:
    first = group.first
    tables = [metric_table(group.rows, metric) for metric in shown_metrics(group)]
    # The headline comes first; where that is none of MAE, GM and balanced MAE, a comparison shows all four.
    main = MAIN_METRICS + (compared and headline_metric(group).name not in GRID_METRICS)
    runs = [run for runs in group.methods.values() for run in runs]
    versions = {", ".join(f"{name} {version}" for name, version in run.result.versions.items()): None for run in runs}
    hardware = {", ".join(f"{name} {value}" for name, value in run.result.hardware.items()): None for run in runs}
    return {
        "name": group.dataset,
        "baseline": group.rows[0].method,
        "label": first.label,
        "sentences": summary_sentences(group),
        "notes": [*group.notes, *unequal_runs(group), *_left_out(group)],
        "rows": group.rows,
        "main_tables": tables[:main],
        "other_tables": tables[main:],
        "counts": {region: int(first.metrics[region]["count"]) for region in GROUPS},
        "pictures": dataset_gallery(group, styles),
        "published": published_table(group) if compared else None,
        "compact": len(group.methods) > MOST_COMPARED + 1,
        "run_count": len(runs),
        "runs": [_run_row(run) for run in runs],
        "differences": configuration_differences(group),
        "configurations": {method: configuration_text(runs[0]) for method, runs in group.methods.items()},
        "versions": list(versions),
        "hardware": list(hardware),
    }


def _run_row(run: Run) -> dict[str, object]:
    result = run.result
    epoch, value = result.checkpoint["epoch"], result.checkpoint["value"]
    return {
        "method": result.method,
        "seed": NOTHING if result.seed is None else result.seed,
        "epochs": result.epochs,
        "best_epoch": NOTHING if epoch is None else epoch,
        "monitor": result.checkpoint["monitor"],
        "value": NOTHING if value is None else f"{value:.4g}",
        "seconds": f"{result.train_seconds:.1f}",
        "folder": run.folder.resolve().name,
    }


def _failure_row(folder: Path, failure: Failure) -> dict[str, object]:
    return {
        "dataset": failure.dataset,
        "method": failure.method,
        "seed": failure.seed,
        "error": failure.error,
        "folder": f"{failure.dataset}/{failure.method}/{folder.name}",
    }


def _left_out(group: DatasetRuns) -> list[str]:
    if len(group.edges) <= 2:
        return []
    return [f"Pictures over the label axis are left out: the label has {len(group.edges)} dimensions."]
