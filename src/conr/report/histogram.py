"""The distribution of training labels by shot region: as a picture, and as text for a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike
from rich.text import Text

from conr.report.style import REGION_COLORS, WIDTH, write_png
from conr.report.tables import REGION_TITLES

if TYPE_CHECKING:
    from conr.density import LabelDensity

# Told apart without colours too, as in a log file.
_GLYPHS = {"many": "█", "median": "▓", "few": "▒"}
_ROWS = 40
_LENGTH = 50


def draw_histogram(axes: Axes, *, edges: ArrayLike, counts: ArrayLike, regions: Sequence[str], label: str) -> None:
    """Bars of training samples per bin, coloured by shot region, with a legend.

    Args:
        axes: to draw on.
        edges: of the bins, shape (bins + 1,).
        counts: training samples per bin, shape (bins,).
        regions: "many", "median" or "few" per bin.
        label: name of the label, with its unit.
    """
    places = np.asarray(edges, dtype=np.float64)
    colors = [REGION_COLORS[region] for region in regions]
    look: dict[str, Any] = {"color": colors, "edgecolor": colors, "linewidth": 0.3}
    axes.bar(places[:-1], np.asarray(counts), width=np.diff(places), align="edge", **look)
    axes.set(xlabel=label, ylabel="training samples", xlim=(places[0], places[-1]))
    present = [region for region in REGION_COLORS if region in regions]
    axes.legend(handles=[Patch(color=REGION_COLORS[region], label=REGION_TITLES[region]) for region in present])


def histogram_picture(
    density: "LabelDensity", label: str, out: Path, *, title: str, dimensions: Sequence[str] = ()
) -> Path:
    """Draw the training labels as a picture, one panel per label dimension.

    Args:
        density: fitted on the training labels.
        label: name of the label, with its unit.
        out: the file; its ending names the format (.png, .svg, .pdf). Its folder is made.
        title: above the picture.
        dimensions: what each label dimension is called, if there are several; their numbers if empty.

    Raises:
        ValueError: an ending that names no format.
    """
    panels = _dimensions(density, label, dimensions)

    def draw(figure: Figure) -> None:
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, edges, counts, regions) in zip(row, panels, strict=True):
            draw_histogram(axes, edges=edges, counts=counts, regions=regions, label=name)
        figure.suptitle(title, fontsize=11)

    return write_png(out, draw, width=WIDTH * len(panels), kind=out.suffix.removeprefix(".") or "png")


def terminal_histogram(density: "LabelDensity", label: str, dimensions: Sequence[str] = ()) -> Text:
    """The training labels as bars of text, at most 40 rows per label dimension; a row sums up several bins if needed.

    Arguments are those of `histogram_picture`.
    """
    text = Text()
    for name, edges, counts, regions in _dimensions(density, label, dimensions):
        step = -(-len(counts) // _ROWS)
        rows = [slice(start, min(start + step, len(counts))) for start in range(0, len(counts), step)]
        highest = max(int(counts[row].sum()) for row in rows)
        starts = [f"{edges[row.start]:g}" for row in rows]
        width = max(map(len, starts))
        text.append(f"{name}: training samples from each label to the next one shown\n")
        for row, start in zip(rows, starts, strict=True):
            text.append(f"{start:>{width}} ")
            for region in REGION_TITLES:
                part = sum(int(count) for count, one in zip(counts[row], regions[row], strict=True) if one == region)
                if part:
                    length = max(1, round(_LENGTH * part / highest))
                    text.append(_GLYPHS[region] * length, style=REGION_COLORS[region])
            text.append(f" {int(counts[row].sum())}\n")
    text.append("   ".join(f"{glyph} {REGION_TITLES[region]}" for region, glyph in _GLYPHS.items()))
    return text


def _dimensions(
    density: "LabelDensity", label: str, dimensions: Sequence[str]
) -> list[tuple[str, np.ndarray, np.ndarray, list[str]]]:
    """Per label dimension: what it is called, edges, counts, and a region per bin.

    With several dimensions the counts are summed over the others, and a bin's region is that of most of its samples.
    """
    bins = density.fitted_bins()
    counts = density.counts.reshape(bins.shape).numpy()
    regions = density.region_of_bin.reshape(bins.shape).numpy()
    by_region = np.stack([np.where(regions == region, counts, 0) for region in range(len(_GLYPHS))])
    names = np.asarray(list(_GLYPHS))
    found: list[tuple[str, Any, Any, list[str]]] = []
    for dimension, edges in enumerate(bins.edges):
        others = tuple(1 + other for other in range(bins.dimensions) if other != dimension)
        sums = by_region.sum(axis=others)  # (regions, bins)
        most = sums.argmax(axis=0) if others else regions
        name = f"{label}, {dimensions[dimension] if dimensions else dimension}" if others else label
        found.append((name, edges.numpy(), sums.sum(axis=0), names[most].tolist()))
    return found
