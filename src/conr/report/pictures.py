"""The pictures of a report, as SVG for the page and as one PNG for elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conr.report.aggregate import Curve, DatasetRuns, label_error_curve, load_runs, region_spans, training_curve
from conr.report.embedding import embed_features
from conr.report.histogram import draw_histogram
from conr.report.style import (
    INK,
    INK_ON_WHITE,
    REGION_COLORS,
    REGION_SHADES,
    WIDTH,
    MethodStyles,
    count_whole,
    drawing,
    inline_svg,
    label_colors,
    new_figure,
    save_picture,
)
from conr.runs.runs import Run

MOST_SCATTERED = 5000


def histogram_svg(group: DatasetRuns) -> str:
    """Training samples per label bin, coloured by shot region."""
    with drawing():
        figure, axes = new_figure()
        _draw_histogram(axes, group)
        return inline_svg(figure, f"Training samples per {group.first.label['name']}, by shot region")


def label_error_svg(group: DatasetRuns, methods: Sequence[str], styles: MethodStyles) -> str | None:
    """MAE over the label axis of several methods, None if none of them kept its predictions."""
    with drawing():
        figure, axes = new_figure()
        if not _draw_label_errors(axes, group, methods, styles):
            return None
        names = " and ".join(methods)
        return inline_svg(figure, f"Mean absolute error over {group.first.label['name']}: {names}")


def training_svg(group: DatasetRuns, metric: str, title: str, styles: MethodStyles) -> str | None:
    """A logged metric over epochs for all methods, None if no run logged it."""
    curves = {method: training_curve(runs, metric) for method, runs in group.methods.items()}
    if not any(curves.values()):
        return None
    with drawing():
        figure, axes = new_figure()
        for method, curve in curves.items():
            if curve is not None:
                _draw_curve(axes, curve, styles.line(method))
        axes.set_xlabel("epoch")
        count_whole(axes.xaxis)
        axes.set_ylabel(title)
        axes.legend()
        return inline_svg(figure, f"{title} over epochs: {' and '.join(curves)}")


def features_svg(run: Run, group: DatasetRuns, *, dimension: int = 0) -> str:
    """Test features of a run in two dimensions, coloured by label, of which ``dimension`` is shown.

    Raises:
        ValueError: the run kept no features, or they cannot be placed in the plane.
    """
    if run.outputs is None or len(run.outputs.features) == 0:
        raise ValueError("the run kept no features")
    labels_of_features = run.outputs.feature_labels.reshape(len(run.outputs.features), -1)[:, dimension]
    positions, labels = embed_features(run.outputs.features, labels_of_features)
    edges = group.edges[dimension]
    with drawing():
        figure, axes = new_figure(height=WIDTH * 0.82)
        first, second = positions.T
        points = axes.scatter(
            first, second, c=labels, s=7, cmap=label_colors(), vmin=edges[0], vmax=edges[-1], linewidths=0
        )
        points.set_rasterized(True)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(points, ax=axes, label=group.axis_titles[dimension], pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        return inline_svg(figure, f"Test features of {run.result.method} in two dimensions, coloured by label")


def prediction_svg(run: Run, group: DatasetRuns, styles: MethodStyles, *, limits: tuple[float, float]) -> str:
    """Predictions of a run against the labels of its test split; ``limits`` are the lowest and highest shown.

    Raises:
        ValueError: the run kept no predictions.
    """
    if run.outputs is None or len(run.outputs.labels) == 0:
        raise ValueError("the run kept no predictions")
    labels, predictions = run.outputs.labels.reshape(-1), run.outputs.predictions.reshape(-1)
    rows = np.linspace(0, len(labels) - 1, min(len(labels), MOST_SCATTERED)).round().astype(int)
    (edges,) = group.edges
    with drawing():
        figure, axes = new_figure(height=WIDTH * 0.82)
        _shade_regions(axes, group)
        axes.plot(edges[[0, -1]], edges[[0, -1]], color=INK, linewidth=0.8, alpha=0.7, zorder=3)
        points = axes.scatter(
            labels[rows], predictions[rows], s=7, color=styles.color(run.result.method), alpha=0.55, linewidths=0
        )
        points.set_rasterized(True)
        axes.set(xlabel=f"label: {group.label}", ylabel="prediction", xlim=edges[[0, -1]], ylim=limits)
        return inline_svg(figure, f"Predictions of {run.result.method} against labels")


def picture(paths: Iterable[Path], out: Path, *, baseline: str | None = None) -> Path:
    """Draw one PNG that sums up a comparison: training labels by shot region, and the error over the label axis.

    The right half compares the baseline with the method of the lowest few-shot MAE; bands span all seeds.

    Args:
        paths: result files, folders of runs, or folders above; of one dataset with labels of one dimension.
        out: the file to write; its folder is made.
        baseline: the method to compare with; see `summary_table`.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError, ValueError: as `load_runs`; several datasets or label dimensions; no predictions.
    """
    groups = load_runs(paths, baseline=baseline)
    if len(groups) > 1:
        names = ", ".join(group.dataset for group in groups)
        raise ValueError(f"paths: expected runs of one dataset, got {names}")
    (group,) = groups
    if len(group.edges) != 1:
        raise ValueError(f"paths: expected labels of one dimension, got {len(group.edges)} in {group.dataset}")
    with drawing(INK_ON_WHITE):
        figure = Figure(figsize=(10, 3.6), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        _draw_histogram(left, group)
        left.set_title("training labels")
        if not _draw_label_errors(right, group, group.highlighted, MethodStyles(groups)):
            raise ValueError(f"paths: expected runs that kept their predictions, got none in {group.dataset}")
        right.set_title(f"test error on {group.dataset}")
        return save_picture(figure, out, dpi=160)


def _draw_histogram(axes: Axes, group: DatasetRuns) -> None:
    (edges,) = group.edges
    bins = group.first.bins
    draw_histogram(axes, edges=edges, counts=bins["train_counts"], regions=bins["regions"], label=group.label)


def _draw_label_errors(axes: Axes, group: DatasetRuns, methods: Sequence[str], styles: MethodStyles) -> bool:
    curves = {method: label_error_curve(group, method) for method in methods}
    known: Mapping[str, Curve] = {method: curve for method, curve in curves.items() if curve is not None}
    _shade_regions(axes, group)
    for method, curve in known.items():
        _draw_curve(axes, curve, styles.line(method))
    (edges,) = group.edges
    axes.set(xlabel=group.label, ylabel=_with_unit("MAE", group), xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    if known:
        axes.legend()
    return bool(known)


def _draw_curve(axes: Axes, curve: Curve, line: dict[str, Any]) -> None:
    axes.plot(curve.position, curve.mean, linewidth=1.8, marker="o" if len(curve.position) == 1 else None, **line)
    if np.nanmax(curve.high - curve.low, initial=0) > 0:
        axes.fill_between(curve.position, curve.low, curve.high, color=line["color"], alpha=0.22, linewidth=0)


def _shade_regions(axes: Axes, group: DatasetRuns) -> None:
    for low, high, region in region_spans(group):
        if REGION_SHADES[region]:
            axes.axvspan(low, high, color=REGION_COLORS["few"], alpha=REGION_SHADES[region], linewidth=0, zorder=0)


def _with_unit(quantity: str, group: DatasetRuns) -> str:
    unit = group.first.label["unit"]
    return f"{quantity} ({unit})" if unit else quantity
