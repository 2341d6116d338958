"""The pictures of a report for labels of two dimensions: the first is drawn upwards, the second to the right."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from conr.report.aggregate import DatasetRuns
from conr.report.pictures import feature_picture
from conr.report.style import REGION_COLORS, SQUARE, Picture, label_colors, page_picture
from conr.report.summary import headline_metric, unit_of
from conr.report.tables import REGION_TITLES, with_unit
from conr.runs.outputs import Outputs

Array = NDArray[Any]


def cell_pictures(group: DatasetRuns) -> list[Picture]:
    """Draw training labels, shot regions, errors per cell of labels, and features; for labels of two dimensions."""
    names = " and ".join(group.names)
    found = [error_cells(group, method) for method in group.highlighted]
    finite = [errors[np.isfinite(errors)] for errors in found if errors is not None]
    highest = max((float(errors.max(initial=0)) for errors in finite), default=0) or 1.0
    title = error_title(group)
    return [
        page_picture(
            "Training labels",
            "Training samples per cell, that is per bin of both label dimensions. Blank cells have none.",
            f"Training samples per cell of {names}",
            partial(_draw_training_cells, group),
            height=SQUARE,
        ),
        page_picture(
            "Shot regions",
            "The stronger the colour of a cell, the rarer its labels in training; blank cells have none there.",
            f"Shot regions of the cells of {names}",
            partial(_draw_region_cells, group),
            height=SQUARE,
        ),
        *(
            page_picture(
                f"Error per cell: {method}",
                f"{title} of the test samples of each cell, mean over seeds; lower is better. Blank cells have no test "
                "samples. The colours mean the same for both methods.",
                f"{title} of {method} per cell of {names}",
                partial(_draw_error_cells, group, errors, highest),
                height=SQUARE,
            )
            for method, errors in zip(group.highlighted, found, strict=True)
        ),
        *(feature_picture(group.methods[method][0], group, widest_dimension(group)) for method in group.highlighted),
    ]


def error_cells(group: DatasetRuns, method: str) -> Array | None:
    """Mean test error per cell, over all seeds of a method: NaN without test samples, None without predictions.

    The error is the angle in degrees if the headline is ``angular``, else the absolute error in label units, mean over
    label dimensions.
    """
    import torch  # noqa: PLC0415  loads slowly

    from conr.density import Bins  # noqa: PLC0415

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
    """Name of the error of `error_cells`, with its unit."""
    metric = headline_metric(group)
    if metric.name == "angular":
        return with_unit(metric.title, unit_of(metric, group))
    return with_unit("MAE", group.first.label["unit"])


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
        import torch  # noqa: PLC0415  loads slowly

        from conr.metrics.angular import angular_error  # noqa: PLC0415

        return angular_error(torch.from_numpy(predictions), torch.from_numpy(labels)).numpy()
    error: Array = np.abs(predictions - labels).mean(axis=1)
    return error


def _training_counts(group: DatasetRuns) -> Array:
    shape = [len(edges) - 1 for edges in group.edges]
    return np.asarray(group.first.bins["train_counts"]).reshape(shape)


def _draw_training_cells(group: DatasetRuns, figure: Figure) -> None:
    counts = _training_counts(group).astype(np.float64)
    counts[counts == 0] = np.nan
    norm = LogNorm(1, max(np.nanmax(counts), 2))
    _draw_bar(figure, _draw_cells(figure, group, counts, norm=norm, cmap=label_colors()), "training samples")


def _draw_region_cells(group: DatasetRuns, figure: Figure) -> None:
    counts = _training_counts(group)
    order = list(REGION_COLORS)
    regions = np.asarray([order.index(region) for region in group.first.bins["regions"]], dtype=np.float64)
    shown = np.where(counts > 0, regions.reshape(counts.shape), np.nan)
    colors = ListedColormap(list(REGION_COLORS.values()))
    _draw_cells(figure, group, shown, norm=Normalize(0, len(order) - 1), cmap=colors)
    present = [region for position, region in enumerate(order) if (shown == position).any()]
    handles = [Patch(color=REGION_COLORS[region], label=REGION_TITLES[region]) for region in present]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(order))


def _draw_error_cells(group: DatasetRuns, errors: Array | None, highest: float, figure: Figure) -> None:
    if errors is None:
        raise ValueError("the runs kept no predictions")
    mesh = _draw_cells(figure, group, errors, norm=Normalize(0, highest), cmap=label_colors())
    _draw_bar(figure, mesh, error_title(group))


def _draw_cells(figure: Figure, group: DatasetRuns, values: Array, **colors: Any) -> QuadMesh:
    up, right = group.edges
    axes = figure.subplots()
    mesh = axes.pcolormesh(right, up, np.ma.masked_invalid(values), linewidth=0, rasterized=True, **colors)
    vertical, horizontal = group.axis_titles
    lowest, highest = occupied_corners(group)
    axes.set(xlabel=horizontal, ylabel=vertical)
    axes.set(xlim=(right[lowest[1]], right[highest[1] + 1]), ylim=(up[lowest[0]], up[highest[0] + 1]))
    return mesh


def _draw_bar(figure: Figure, mesh: QuadMesh, title: str) -> None:
    bar = figure.colorbar(mesh, ax=figure.axes, label=title, pad=0.02, aspect=30, format="{x:g}")
    bar.outline.set_visible(False)
