"""The pictures of one dataset, for the page and as one PNG for elsewhere; labels of one dimension."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from conr.report.aggregate import (
    Curve,
    DatasetRuns,
    label_error_curve,
    load_runs,
    prediction_limits,
    region_spans,
    training_curve,
)
from conr.report.histogram import draw_histogram
from conr.report.paired import method_pairs
from conr.report.style import (
    INK,
    REGION_COLORS,
    REGION_SHADES,
    SQUARE,
    MethodStyles,
    Picture,
    count_whole,
    label_colors,
    page_picture,
    write_png,
)
from conr.report.summary import headline_metric, unit_of
from conr.report.tables import with_unit
from conr.runs.outputs import evenly_chosen
from conr.runs.runs import Run

MOST_COMPARED = 6
MOST_EMBEDDED, FEWEST_EMBEDDED = 600, 10
MOST_SCATTERED = 5000


def label_pictures(group: DatasetRuns, styles: MethodStyles) -> list[Picture]:
    """Draw training labels, errors over the label, features and predictions; for labels of one dimension."""
    name = group.first.label["name"]
    shown = [group.methods[method][0] for method in group.highlighted]
    limits = prediction_limits(group, shown)
    return [
        page_picture(
            "Training labels",
            f"Training samples per {name} bin. The stronger the colour, the rarer: it is the shot region.",
            f"Training samples per {name}, by shot region",
            lambda figure: _draw_histogram(figure.subplots(), group),
        ),
        *(error_picture(group, methods, styles) for methods in compared_methods(group)),
        *(feature_picture(run, group, 0) for run in shown),
        *(
            page_picture(
                f"Predictions: {_title(run)}",
                "One point per test sample; on the line, the prediction is right. Shading as above: a cloud that "
                "leaves the line where shading is strong shows rare labels taken for common ones.",
                f"Predictions of {run.result.method} against labels",
                partial(_draw_predictions, run, group, styles, limits),
                height=SQUARE,
            )
            for run in shown
        ),
    ]


def error_picture(group: DatasetRuns, methods: Sequence[str], styles: MethodStyles) -> Picture:
    """Draw the test error of some methods over the label; for labels of one dimension."""
    name, names = group.first.label["name"], " and ".join(methods)
    return page_picture(
        f"Error over {name}: {names}",
        f"Test MAE by {name}; lower is better. A line is the mean over seeds, its band reaches from the lowest to the "
        "highest seed. Shading marks the median-shot (faint) and few-shot (strong) regions.",
        f"Mean absolute error over {name}: {names}",
        partial(_draw_errors, group, methods, styles),
    )


def training_pictures(group: DatasetRuns, styles: MethodStyles) -> list[Picture]:
    """Draw the validation error, that of the few-shot region, and the training loss, over epochs if there are any."""
    if not any(run.result.epochs for runs in group.methods.values() for run in runs):
        return []
    metric = headline_metric(group)
    unit, logged = unit_of(metric, group), f"val/{metric.name}"
    loss = "with all its terms; the height says nothing where methods have other terms"
    curves = (
        (logged, f"Validation {metric.title}", unit, "over all validation labels"),
        (f"{logged}_few", f"Few-shot validation {metric.title}", unit, "over labels of the few-shot region"),
        ("train/loss", "Training loss", "", loss),
    )
    return [
        page_picture(
            title,
            f"{title} after each epoch, {meaning}. A line is the mean over seeds, its band reaches from the lowest to "
            "the highest seed.",
            f"{with_unit(title, unit)} over epochs: {' and '.join(group.methods)}",
            partial(_draw_training, group, column, with_unit(title, unit), styles),
        )
        for column, title, unit, meaning in curves
    ]


def compared_methods(group: DatasetRuns) -> list[list[str]]:
    """Methods that share a picture of the error over labels.

    The baseline with each other method; with more than ``MOST_COMPARED`` others each X with X + conr, and the baseline
    with the method of the lowest few-shot error.
    """
    baseline, *others = group.methods
    if len(others) <= MOST_COMPARED:
        return [[baseline, other] for other in others] or [[baseline]]
    pairs = [list(pair) for pair in method_pairs(group.methods)]
    return pairs if list(group.highlighted) in pairs else [list(group.highlighted), *pairs]


def feature_picture(run: Run, group: DatasetRuns, dimension: int) -> Picture:
    """Draw test features of a run in two dimensions, coloured by one dimension of the label."""

    def draw(figure: Figure) -> None:
        if run.outputs is None or len(run.outputs.features) == 0:
            raise ValueError("the run kept no features")
        labels = run.outputs.feature_labels.reshape(len(run.outputs.features), -1)[:, dimension]
        draw_features(figure, run.outputs.features, labels, group.edges[dimension], group.axis_titles[dimension])

    return page_picture(
        f"Features: {_title(run)}",
        f"Test features in the two directions in which they vary most, one point per sample, coloured by "
        f"{group.names[dimension]}. {READING_OF_FEATURES}",
        f"Test features of {run.result.method} in two dimensions, coloured by label",
        draw,
        height=SQUARE,
    )


READING_OF_FEATURES = (
    "Where colours run smoothly, features keep the order of labels; where they mix, labels have collapsed into each "
    "other."
)


def draw_features(
    figure: Figure, features: NDArray[Any], labels: NDArray[Any], edges: ArrayLike, title: str, *, tsne: bool = False
) -> None:
    """Fill a figure with features in the plane, coloured by label.

    Args:
        figure: empty.
        features: shape (m, d).
        labels: shape (m,).
        edges: of the label's bins, whose ends are the ends of the colours.
        title: of the colours.
        tsne: place them by t-SNE, which takes seconds, instead of by principal components.

    Raises:
        ValueError: as `embed_features`.
    """
    positions, shown, axis_titles = embed_features(features, labels, tsne=tsne)
    ends = np.asarray(edges)[[0, -1]]
    axes = figure.subplots()
    first, second = positions.T
    points = axes.scatter(first, second, c=shown, s=7, cmap=label_colors(), vmin=ends[0], vmax=ends[1], linewidths=0)
    points.set_rasterized(True)
    axes.set(xticks=[], yticks=[], xlabel=axis_titles[0], ylabel=axis_titles[1])
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(points, ax=axes, label=title, pad=0.02, aspect=30)
    bar.outline.set_visible(False)


def embed_features(
    features: NDArray[Any], labels: NDArray[Any], *, tsne: bool = False
) -> tuple[NDArray[Any], NDArray[Any], tuple[str, str]]:
    """Place features in the plane, the same way for the same features.

    Args:
        features: shape (m, d).
        labels: shape (m, ...).
        tsne: by t-SNE; else by their two principal components.

    Returns:
        Positions (p, 2) and labels (p, ...) of p <= ``MOST_EMBEDDED`` samples, spread evenly over the given ones, and
        titles of the axes.

    Raises:
        ValueError: fewer than ``FEWEST_EMBEDDED`` samples, features that are not finite, or that are all equal.
    """
    if len(features) < FEWEST_EMBEDDED:
        raise ValueError(f"features: expected at least {FEWEST_EMBEDDED} samples, got {len(features)}")
    rows = evenly_chosen(len(features), MOST_EMBEDDED)
    chosen = features[rows].astype(np.float32)  # (p, d)
    if not np.isfinite(chosen).all():
        raise ValueError("features: expected finite numbers, got NaN or infinity")
    if chosen.shape[1] < 2 or not chosen.std(axis=0).any():
        raise ValueError("features: expected at least two dimensions and features that differ")
    if tsne:
        return _neighbours_kept(chosen), labels[rows], ("", "")
    _, sizes, directions = np.linalg.svd(chosen - chosen.mean(axis=0), full_matrices=False)
    directions = directions[:2] * np.sign(directions[:2].sum(axis=1, keepdims=True) + 1e-30)  # svd leaves signs open
    shares = (sizes**2 / (sizes**2).sum())[:2]
    positions: NDArray[Any] = (chosen - chosen.mean(axis=0)) @ directions.T  # (p, 2)
    return positions, labels[rows], (f"{shares[0]:.0%} of the variance", f"{shares[1]:.0%} of the variance")


def _neighbours_kept(features: NDArray[Any]) -> NDArray[Any]:
    """Positions (p, 2) by t-SNE."""
    from sklearn.manifold import TSNE  # noqa: PLC0415  loads slowly
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    perplexity = min(30.0, (len(features) - 1) / 3)
    with threadpool_limits(1):  # with threads it waits longer than it works
        placed: NDArray[Any] = TSNE(init="pca", random_state=0, perplexity=perplexity).fit_transform(features)
    return placed


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

    if not any(run.outputs for method in group.highlighted for run in group.methods[method]):
        raise ValueError(f"paths: expected runs that kept their predictions, got none in {group.dataset}")

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _draw_histogram(left, group)
        left.set_title("training labels")
        _draw_errors(group, group.highlighted, MethodStyles(groups), figure, right)
        right.set_title(f"test error on {group.dataset}")

    return write_png(out, draw, width=10, height=3.6)


def _title(run: Run) -> str:
    return run.result.method if run.result.seed is None else f"{run.result.method}, seed {run.result.seed}"


def _draw_histogram(axes: Axes, group: DatasetRuns) -> None:
    (edges,) = group.edges
    bins = group.first.bins
    draw_histogram(axes, edges=edges, counts=bins["train_counts"], regions=bins["regions"], label=group.label)


def _draw_errors(
    group: DatasetRuns, methods: Sequence[str], styles: MethodStyles, figure: Figure, axes: Axes | None = None
) -> None:
    axes = axes or figure.subplots()
    _shade_regions(axes, group)
    _draw_curves(axes, {method: label_error_curve(group, method) for method in methods}, styles, "kept no predictions")
    (edges,) = group.edges
    axes.set(xlabel=group.label, ylabel=with_unit("MAE", group.first.label["unit"]), xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)


def _draw_training(group: DatasetRuns, metric: str, title: str, styles: MethodStyles, figure: Figure) -> None:
    axes = figure.subplots()
    curves = {method: training_curve(runs, metric) for method, runs in group.methods.items()}
    _draw_curves(axes, curves, styles, "did not log it")
    axes.set(xlabel="epoch", ylabel=title)
    count_whole(axes.xaxis)


def _draw_predictions(
    run: Run, group: DatasetRuns, styles: MethodStyles, limits: tuple[float, float], figure: Figure
) -> None:
    if run.outputs is None or len(run.outputs.labels) == 0:
        raise ValueError("the run kept no predictions")
    labels, predictions = run.outputs.labels.reshape(-1), run.outputs.predictions.reshape(-1)
    rows = evenly_chosen(len(labels), MOST_SCATTERED)
    (edges,) = group.edges
    axes = figure.subplots()
    _shade_regions(axes, group)
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=INK, linewidth=0.8, alpha=0.7, zorder=3)
    color = styles.color(run.result.method)
    points = axes.scatter(labels[rows], predictions[rows], s=7, color=color, alpha=0.55, linewidths=0)
    points.set_rasterized(True)
    axes.set(xlabel=f"label: {group.label}", ylabel="prediction", xlim=edges[[0, -1]], ylim=limits)


def _draw_curves(axes: Axes, curves: Mapping[str, Curve | None], styles: MethodStyles, missing: str) -> None:
    known = {method: curve for method, curve in curves.items() if curve is not None}
    if not known:
        raise ValueError(f"the runs {missing}")
    for method, curve in known.items():
        line, marker = styles.line(method), "o" if len(curve.position) == 1 else None
        axes.plot(curve.position, curve.mean, linewidth=1.8, marker=marker, **line)
        if np.nanmax(curve.high - curve.low, initial=0) > 0:
            axes.fill_between(curve.position, curve.low, curve.high, color=line["color"], alpha=0.22, linewidth=0)
    axes.legend()


def _shade_regions(axes: Axes, group: DatasetRuns) -> None:
    for low, high, region in region_spans(group):
        if REGION_SHADES[region]:
            axes.axvspan(low, high, color=REGION_COLORS["few"], alpha=REGION_SHADES[region], linewidth=0, zorder=0)
