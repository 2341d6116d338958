"""Published results beside ours: data files in ``published/``, one per dataset, never part of a test or a rank."""

from importlib import resources
from typing import Any

import yaml

from conr.density.regions import GROUPS
from conr.report.aggregate import DatasetRuns
from conr.report.tables import METRICS, NOTHING, REGION_TITLES, metric_table, shown_metrics
from conr.report.text_table import Entry, TextTable, rows_of

MARK = "published"


def published_results(dataset: str) -> dict[str, Any] | None:
    """The published results of a dataset, None if there are none.

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
            [row.method, "ours", *(Entry(cell.value) for cell in cells)]
            for row, cells in zip(group.rows, metric_table(group.rows, metric).cells, strict=True)
        ]
        for row in rows:
            values = [NOTHING if value is None else f"{value:.{decimals}f}" for value in row[metric.name]]
            lines.append([row["method"], f"{MARK} ({row['source']})", *values])
        parts.append((metric.title, rows_of(lines)))
    if not parts:
        return None
    used = sorted({row["source"] for row in content["rows"]})
    notes = [*content.get("notes", []), *(f"{letter}: {content['sources'][letter]}" for letter in used)]
    caption = "Our results above published ones, which are in no rank and in no test."
    header = ("method", "source", *(REGION_TITLES[region] for region in GROUPS))
    return TextTable(caption, header, tuple(parts), tuple(notes))
