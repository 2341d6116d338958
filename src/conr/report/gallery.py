"""The pictures of a page with their captions: of each dataset, and of a comparison over datasets."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from conr.report.aggregate import DatasetRuns, prediction_limits
from conr.report.grid import method_pairs
from conr.report.pictures import features_svg, histogram_svg, label_error_svg, prediction_svg, training_svg
from conr.report.pictures_2d import (
    error_cells,
    error_cells_svg,
    error_title,
    region_cells_svg,
    training_cells_svg,
    widest_dimension,
)
from conr.report.ranks import PICTURED_REGIONS, rank_methods, ranks_svg
from conr.report.style import MethodStyles
from conr.report.tables import REGION_TITLES, headline_metric, unit_of
from conr.report.tradeoff import Look, family_looks, trade_off, trade_off_svg
from conr.runs.runs import Run

MOST_COMPARED = 6


class Picture(NamedTuple):
    """A figure of the page: its title, how to read it, and the drawing, or why there is none."""

    title: str
    caption: str
    svg: Markup | None


def trade_off_gallery(groups: Sequence[DatasetRuns]) -> list[Picture]:
    """The trade-off between frequent and rare labels, one picture per dataset."""
    looks = family_looks(groups)
    return [_trade_off_picture(group, looks) for group in groups]


def ranks_gallery(groups: Sequence[DatasetRuns], styles: MethodStyles) -> list[Picture]:
    """The critical-difference pictures, of the regions that can be ranked."""
    pictures = []
    for region in PICTURED_REGIONS:
        ranking = rank_methods(groups, region)
        if ranking.found is not None:
            pictures.append(
                _picture(
                    f"Average ranks: {REGION_TITLES[region]}",
                    "A point is a method's average rank, its line as long as Nemenyi's critical difference "
                    f"({ranking.found.critical_difference:.2f}). Two methods differ significantly if their lines do "
                    "not overlap; those whose lines reach into the shade are not shown to be worse than the first.",
                    partial(ranks_svg, ranking, styles),
                )
            )
    return pictures


def compared_methods(group: DatasetRuns) -> list[list[str]]:
    """Which methods share a picture of the error over labels.

    The baseline with each other method; with more than ``MOST_COMPARED`` others each X with X + conr, and the baseline
    with the method of the lowest few-shot error.
    """
    baseline, *others = group.methods
    if len(others) <= MOST_COMPARED:
        return [[baseline, other] for other in others] or [[baseline]]
    pairs = [list(pair) for pair in method_pairs(group.methods)]
    return pairs if list(group.highlighted) in pairs else [list(group.highlighted), *pairs]


def dataset_gallery(group: DatasetRuns, styles: MethodStyles) -> list[Picture]:
    """The pictures of one dataset."""
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


def _trade_off_picture(group: DatasetRuns, looks: Mapping[str, Look]) -> Picture:
    missing = trade_off(group).missing
    left_out = f"Not shown, because an error is undefined: {', '.join(missing)}." if missing else ""
    return _picture(group.dataset, left_out, partial(trade_off_svg, group, looks))


def _label_pictures(group: DatasetRuns, styles: MethodStyles) -> list[Picture]:
    name = group.first.label["name"]
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
        for methods in compared_methods(group)
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
