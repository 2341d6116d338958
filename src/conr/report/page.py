"""The report: one HTML file that needs nothing else."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from conr.report.aggregate import REGIONS, DatasetRuns, Run, load_runs, prediction_limits
from conr.report.configuration import configuration_differences, configuration_text, unequal_runs
from conr.report.pictures import features_svg, histogram_svg, label_error_svg, prediction_svg, training_svg
from conr.report.pictures_2d import (
    error_cells,
    error_cells_svg,
    error_title,
    region_cells_svg,
    training_cells_svg,
    widest_dimension,
)
from conr.report.style import REGION_COLORS, MethodStyles
from conr.report.tables import (
    MAIN_METRICS,
    NOTHING,
    REGION_TITLES,
    headline_metric,
    metric_table,
    shown_metrics,
    summary_sentences,
    unit_of,
)


class Picture(NamedTuple):
    """A figure of the page: its title, how to read it, and the drawing, or why there is none."""

    title: str
    caption: str
    svg: Markup | None


def write_report(
    paths: Iterable[Path], out: Path, *, baseline: str | None = None, title: str = "Comparison of methods"
) -> Path:
    """Write one HTML page that compares all tested runs at or below the paths.

    The page holds its style and pictures: it is read without a network, on paper, on a phone, light or dark.

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
    groups = load_runs(paths, baseline=baseline)
    styles = MethodStyles(groups)
    environment = Environment(
        loader=PackageLoader("conr.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=title,
        sections=[_section(group, styles) for group in groups],
        regions=REGIONS,
        region_titles=REGION_TITLES,
        region_colors=REGION_COLORS,
        color=styles.color,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    temporary.write_text(page, encoding="utf-8")
    return temporary.replace(out)


def _section(group: DatasetRuns, styles: MethodStyles) -> dict[str, Any]:
    first = group.first
    tables = [metric_table(group.rows, metric) for metric in shown_metrics(group)]
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
        "main_tables": tables[:MAIN_METRICS],
        "other_tables": tables[MAIN_METRICS:],
        "counts": {region: int(first.metrics[region]["count"]) for region in REGIONS},
        "pictures": _pictures(group, styles),
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


def _pictures(group: DatasetRuns, styles: MethodStyles) -> list[Picture]:
    dimensions = len(group.edges)
    pictures = _label_pictures(group, styles) if dimensions == 1 else _cell_pictures(group) if dimensions == 2 else []
    metric = headline_metric(group)
    unit = f" ({unit_of(metric, group)})" if unit_of(metric, group) else ""
    logged = f"val/{metric.name}"
    curves = (
        (logged, f"Validation {metric.title}", unit, "over all validation labels"),
        (f"{logged}_few", f"Few-shot validation {metric.title}", unit, "over labels of the few-shot region"),
        (
            "train/loss",
            "Training loss",
            "",
            "with all its terms; the height says nothing where methods have other terms",
        ),
    )
    pictures += [
        _picture(
            title,
            f"{title} after each epoch, {what}. A line is the mean over seeds, its band reaches from the lowest to the "
            "highest seed.",
            partial(training_svg, group, metric, f"{title}{in_unit}", styles),
            otherwise="the runs did not log it",
        )
        for metric, title, in_unit, what in curves
    ]
    return pictures


def _left_out(group: DatasetRuns) -> list[str]:
    if len(group.edges) <= 2:
        return []
    return [f"Pictures over the label axis are left out: the label has {len(group.edges)} dimensions."]


def _label_pictures(group: DatasetRuns, styles: MethodStyles) -> list[Picture]:
    name = group.first.label["name"]
    baseline, *others = group.methods
    pictures = [
        _picture(
            "Training labels",
            f"Training samples per {name} bin. The stronger the colour, the rarer: it is the shot region.",
            lambda: histogram_svg(group),
        )
    ]
    pictures += [
        _picture(
            f"Error over {name}: {' and '.join(methods)}",
            f"Test MAE by {name}; lower is better. A line is the mean over seeds, its band reaches from the lowest to "
            "the highest seed. Shading marks the median-shot (faint) and few-shot (strong) regions.",
            partial(label_error_svg, group, methods, styles),
            otherwise="the runs kept no predictions",
        )
        for methods in ([[baseline, other] for other in others] or [[baseline]])
    ]
    shown = [group.methods[method][0] for method in group.highlighted]
    limits = prediction_limits(group, shown)
    pictures += [_feature_picture(run, group, 0) for run in shown]
    pictures += [
        _picture(
            f"Predictions: {_title(run)}",
            "One point per test sample; on the line, the prediction is right. Shading as above: a cloud that leaves "
            "the line where shading is strong shows rare labels taken for common ones.",
            partial(prediction_svg, run, group, styles, limits=limits),
        )
        for run in shown
    ]
    return pictures


def _cell_pictures(group: DatasetRuns) -> list[Picture]:
    found = [error_cells(group, method) for method in group.highlighted]
    highest = max(
        (float(errors[np.isfinite(errors)].max(initial=0)) for errors in found if errors is not None), default=0
    )
    dimension = widest_dimension(group)
    shown = [group.methods[method][0] for method in group.highlighted]
    return [
        _picture(
            "Training labels",
            "Training samples per cell, that is per bin of both label dimensions. Blank cells have none.",
            partial(training_cells_svg, group),
        ),
        _picture(
            "Shot regions",
            "The stronger the colour of a cell, the rarer its labels in training; blank cells have none there.",
            partial(region_cells_svg, group),
        ),
        *(
            _picture(
                f"Error per cell: {method}",
                f"{error_title(group)} of the test samples of each cell, mean over seeds; lower is better. Blank cells "
                "have no test samples. The colours mean the same for both methods.",
                partial(error_cells_svg, group, method, highest=highest or 1.0),
                otherwise="the runs kept no predictions",
            )
            for method in group.highlighted
        ),
        *(_feature_picture(run, group, dimension) for run in shown),
    ]


def _feature_picture(run: Run, group: DatasetRuns, dimension: int) -> Picture:
    return _picture(
        f"Features: {_title(run)}",
        f"Test features placed in the plane by t-SNE, one point per sample, coloured by {group.names[dimension]}. "
        "Where colours run smoothly, features keep the order of labels; where they mix, labels have collapsed into "
        "each other. Distances between groups far apart mean nothing.",
        partial(features_svg, run, group, dimension=dimension),
    )


def _title(run: Run) -> str:
    return run.result.method if run.result.seed is None else f"{run.result.method}, seed {run.result.seed}"


def _picture(title: str, caption: str, draw: Callable[[], str | None], otherwise: str = "") -> Picture:
    try:
        svg = draw()
    except ValueError as error:
        svg, otherwise = None, str(error)
    if svg is None:
        return Picture(title, f"Not drawn: {otherwise}.", None)
    return Picture(title, caption, Markup(svg))  # noqa: S704  matplotlib has escaped the text in it
