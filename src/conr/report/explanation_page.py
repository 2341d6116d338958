"""An explained run as one HTML page that needs nothing else."""

import base64
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.image import imsave
from numpy.typing import NDArray

from conr.density import REGIONS
from conr.report.embedding import embed_features
from conr.report.explanation import GAP_NEIGHBOURS, Embedded, Explanation, Sample
from conr.report.gallery import Picture
from conr.report.html import write_page
from conr.report.style import INK, REGION_COLORS, WIDTH, count_whole, drawing, inline_svg, label_colors, new_figure
from conr.report.tables import NOTHING, REGION_TITLES

SCHEMA = "conr.explanation/1"
_MOST_VALUES = 12
_COLLAPSE_LINES = {"collapse": "all", **{f"collapse_{region}": region for region in REGIONS}}


def write_explanation(found: Explanation, out: Path) -> Path:
    """Write the page, complete or not at all.

    Args:
        found: of `explain_run`.
        out: the file; its folder is made.

    Returns:
        ``out``.

    Raises:
        OSError: the page cannot be written.
    """
    return write_page(
        out,
        "conr.report",
        "explanation.html.j2",
        found=found,
        label=label_title(found),
        colors={},
        distribution=[_picture("Labels and predictions", _DISTRIBUTION, lambda: distribution_svg(found))],
        maps=[
            _picture(f"Features: {title}", _MAP, partial(map_svg, found, samples))
            for title, samples in found.maps.items()
        ],
        collapse=[_picture("Collapse over training", _COLLAPSE, lambda: collapse_svg(found))],
        gaps=[
            {"title": title, "cells": [_number(gaps[region]) for region in REGION_TITLES]}
            for title, gaps in found.gaps.items()
        ],
        region_titles=list(REGION_TITLES.values()),
        gap_neighbours=GAP_NEIGHBOURS,
        rare=[
            {"sample": _card(one.sample), "neighbours": [_card(other) for other in one.neighbours]}
            for one in found.rare
        ],
        worst=[_card(one) for one in found.worst],
        data=Markup(_embedded_numbers(found)),  # noqa: S704  JSON without angle brackets
    )


_DISTRIBUTION = (
    "Samples per label bin: filled, their true labels; the line, the predictions. Where the line stays below the "
    "bars at rare labels, the network answers with common ones."
)
_MAP = (
    "The same samples placed in the plane by t-SNE, one point each, coloured by label. Where colours run smoothly, "
    "features keep the order of labels; where they mix, labels have collapsed into each other. Distances between "
    "groups far apart mean nothing."
)
_COLLAPSE = (
    "Share of the pairs of a training batch whose predictions agree although their labels do not, by the region of one "
    "of them; lower is better. It is what ConR works against."
)


def label_title(found: Explanation) -> str:
    """Name of the label, with its unit."""
    label = found.described["label"]
    return f"{label['name']} ({label['unit']})" if label["unit"] else str(label["name"])


def distribution_svg(found: Explanation) -> str:
    """True labels and predictions per bin, of the widest label dimension."""
    dimension = _widest(found)
    edges = np.asarray(found.described["bins"]["edges"][dimension])
    labels, predictions = (part[:, dimension] for part in (found.trained.labels, found.trained.predictions))
    true, predicted = (np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] for part in (labels, predictions))
    with drawing():
        figure, axes = new_figure()
        if len(found.described["bins"]["edges"]) == 1:
            colors: Any = [REGION_COLORS[region] for region in found.described["bins"]["regions"]]
        else:
            colors = REGION_COLORS["median"]
        axes.bar(edges[:-1], true, width=np.diff(edges), align="edge", color=colors, linewidth=0, label="labels")
        axes.stairs(predicted, edges, color=INK, linewidth=1.2, label="predictions")
        axes.set(xlabel=label_title(found), ylabel=f"{found.split} samples", xlim=(edges[0], edges[-1]))
        axes.legend(loc="upper right")
        return inline_svg(figure, "Samples per label bin: true labels and predictions")


def map_svg(found: Explanation, samples: Embedded) -> str:
    """Features in the plane, coloured by the widest label dimension.

    Raises:
        ValueError: features that cannot be placed.
    """
    dimension = _widest(found)
    edges = found.described["bins"]["edges"][dimension]
    positions, labels = embed_features(samples.features, samples.labels[:, dimension])
    with drawing():
        figure, axes = new_figure(height=WIDTH * 0.82)
        points = axes.scatter(
            positions[:, 0],
            positions[:, 1],
            c=labels,
            s=7,
            cmap=label_colors(),
            vmin=edges[0],
            vmax=edges[-1],
            linewidths=0,
        )
        points.set_rasterized(True)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(points, ax=axes, label=label_title(found), pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        return inline_svg(figure, "Features in two dimensions, coloured by label")


def collapse_svg(found: Explanation) -> str | None:
    """The logged measure of collapse over epochs by region; None if the run did not log it."""
    if not found.collapse:
        return None
    with drawing():
        figure, axes = new_figure()
        for name, region in _COLLAPSE_LINES.items():
            values = found.collapse.get(name)
            if values:
                color, line = (INK, "--") if region == "all" else (REGION_COLORS[region], "-")
                axes.plot(*zip(*values, strict=True), line, color=color, linewidth=1.6, label=REGION_TITLES[region])
        axes.set(xlabel="epoch", ylabel="share of pairs")
        count_whole(axes.xaxis)
        axes.set_ylim(bottom=0)
        axes.legend()
        return inline_svg(figure, "Share of pairs with agreeing predictions and different labels, over epochs")


def _widest(found: Explanation) -> int:
    spans = [edges[-1] - edges[0] for edges in found.described["bins"]["edges"]]
    return int(np.argmax(spans))


def _picture(title: str, caption: str, draw: Callable[[], str | None]) -> Picture:
    try:
        svg, otherwise = draw(), "the run did not log it (model.collapse_window)"
    except ValueError as error:
        svg, otherwise = None, str(error)
    if svg is None:
        return Picture(title, f"Not drawn: {otherwise}.", None)
    return Picture(title, caption, Markup(svg))  # noqa: S704  matplotlib has escaped the text in it


def _card(sample: Sample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "label": _numbers(sample.label),
        "prediction": _numbers(sample.prediction),
        "region": REGION_TITLES[sample.region],
        "color": REGION_COLORS[sample.region],
        "image": None if sample.image is None else _png(sample.image),
        "values": list(sample.values.items())[:_MOST_VALUES],
        "more": max(0, len(sample.values) - _MOST_VALUES),
        "similarity": None if sample.similarity is None else f"{sample.similarity:.3f}",
    }


def _png(image: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    imsave(buffer, image, cmap="gray", vmin=0, vmax=1, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"


def _numbers(values: NDArray[Any]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _embedded_numbers(found: Explanation) -> str:
    content = {
        "schema": SCHEMA,
        "run": found.title,
        "split": found.split,
        "neighbour_label_gaps": found.gaps,
        "collapse": found.collapse,
        "worst": [
            {"id": one.name, "label": one.label.tolist(), "prediction": one.prediction.tolist()} for one in found.worst
        ],
    }
    return json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
