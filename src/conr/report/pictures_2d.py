"""The pictures of a report for labels of two dimensions: the first is drawn upwards, the second to the right."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from conr.density import Bins
from conr.metrics import angular_error
from conr.report.aggregate import DatasetRuns
from conr.report.style import REGION_COLORS, WIDTH, drawing, inline_svg, label_colors, new_figure
from conr.report.tables import REGION_TITLES, headline_metric, unit_of
from conr.runs.outputs import Outputs

Array = NDArray[Any]

HEIGHT = WIDTH * 0.82


def training_cells_svg(group: DatasetRuns) -> str:
    """Training samples per cell of labels; cells without any stay blank."""
    counts = _training_counts(group).astype(np.float64)
    counts[counts == 0] = np.nan
    with drawing():
        figure, axes = new_figure(height=HEIGHT)
        mesh = _draw_cells(axes, group, counts, norm=LogNorm(1, max(np.nanmax(counts), 2)), cmap=label_colors())
        _draw_bar(figure, axes, mesh, "training samples")
        return inline_svg(figure, f"Training samples per cell of {_names(group)}")


def region_cells_svg(group: DatasetRuns) -> str:
    """Shot region of each cell of labels that has training samples."""
    shape = _training_counts(group).shape
    order = list(REGION_COLORS)
    regions = np.asarray([order.index(region) for region in group.first.bins["regions"]], dtype=np.float64)
    shown = np.where(_training_counts(group) > 0, regions.reshape(shape), np.nan)
    with drawing():
        figure, axes = new_figure(height=HEIGHT)
        _draw_cells(
            axes, group, shown, norm=Normalize(0, len(order) - 1), cmap=ListedColormap(list(REGION_COLORS.values()))
        )
        present = [region for position, region in enumerate(order) if (shown == position).any()]
        handles = [Patch(color=REGION_COLORS[region], label=REGION_TITLES[region]) for region in present]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(order))
        return inline_svg(figure, f"Shot regions of the cells of {_names(group)}")


def error_cells_svg(group: DatasetRuns, method: str, *, highest: float) -> str | None:
    """Mean test error per cell of labels, over all seeds of a method; None if it kept no predictions.

    Args:
        group: labels of two dimensions.
        method: its runs are shown.
        highest: error at the upper end of the colours, the same in all pictures that are compared.
    """
    errors = error_cells(group, method)
    if errors is None:
        return None
    title = error_title(group)
    with drawing():
        figure, axes = new_figure(height=HEIGHT)
        mesh = _draw_cells(axes, group, errors, norm=Normalize(0, highest), cmap=label_colors())
        _draw_bar(figure, axes, mesh, title)
        return inline_svg(figure, f"{title} of {method} per cell of {_names(group)}")


def error_cells(group: DatasetRuns, method: str) -> Array | None:
    """Mean test error per cell, over all seeds of a method: NaN without test samples, None without predictions.

    The error is the angle in degrees if the headline is ``angular``, else the absolute error in label units, mean over
    label dimensions.
    """
    known = [run.outputs for run in group.methods[method] if run.outputs is not None]
    if not known:
        return None
    bins = Bins([edges.tolist() for edges in group.edges], clamp=True)
    total, count = np.zeros(len(bins)), np.zeros(len(bins))
    for outputs in known:
        cells = bins.index(torch.from_numpy(outputs.labels)).numpy()  # (n,)
        total += np.bincount(cells, weights=_errors(group, outputs), minlength=len(bins))
        count += np.bincount(cells, minlength=len(bins))
    errors: Array = np.divide(total, count, out=np.full(len(bins), np.nan), where=count > 0)
    return errors.reshape(bins.shape)


def error_title(group: DatasetRuns) -> str:
    """What `error_cells` shows, with its unit."""
    metric = headline_metric(group)
    name, unit = (
        (metric.title, unit_of(metric, group)) if metric.name == "angular" else ("MAE", group.first.label["unit"])
    )
    return f"{name} ({unit})" if unit else name


def widest_dimension(group: DatasetRuns) -> int:
    """The label dimension over which training labels reach the most bins."""
    counts = _training_counts(group)
    reach = [int((counts.sum(axis=1 - dimension) > 0).sum()) for dimension in (0, 1)]
    return int(np.argmax(reach))


def occupied_corners(group: DatasetRuns) -> tuple[Array, Array]:
    """Lowest and highest position, per dimension, of the cells with training or test samples, which pictures show."""
    occupied = _training_counts(group) > 0
    for method in group.methods:
        errors = error_cells(group, method)
        occupied = occupied if errors is None else occupied | ~np.isnan(errors)
    positions = np.argwhere(occupied)
    return positions.min(axis=0), positions.max(axis=0)


def _errors(group: DatasetRuns, outputs: Outputs) -> Array:
    predictions, labels = outputs.predictions.astype(np.float64), outputs.labels.astype(np.float64)
    if group.first.headline == "angular":
        return angular_error(torch.from_numpy(predictions), torch.from_numpy(labels)).numpy()
    error: Array = np.abs(predictions - labels).mean(axis=1)
    return error


def _training_counts(group: DatasetRuns) -> Array:
    shape = [len(edges) - 1 for edges in group.edges]
    return np.asarray(group.first.bins["train_counts"]).reshape(shape)


def _draw_cells(axes: Axes, group: DatasetRuns, values: Array, **colors: Any) -> QuadMesh:
    up, right = group.edges
    mesh = axes.pcolormesh(right, up, np.ma.masked_invalid(values), linewidth=0, rasterized=True, **colors)
    vertical, horizontal = group.axis_titles
    lowest, highest = occupied_corners(group)
    axes.set(xlabel=horizontal, ylabel=vertical)
    axes.set(xlim=(right[lowest[1]], right[highest[1] + 1]), ylim=(up[lowest[0]], up[highest[0] + 1]))
    return mesh


def _draw_bar(figure: Figure, axes: Axes, mesh: ScalarMappable, title: str) -> None:
    bar = figure.colorbar(mesh, ax=axes, label=title, pad=0.02, aspect=30, format="{x:g}")
    bar.outline.set_visible(False)


def _names(group: DatasetRuns) -> str:
    return " and ".join(group.names)
