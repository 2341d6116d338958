"""An explained run as one HTML page that needs nothing else."""

import base64
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from conr.density import REGIONS, Bins
from conr.report.explanation import Embedded, Explanation, Sample, gaps_table
from conr.report.pictures import READING_OF_FEATURES, draw_features
from conr.report.style import INK, REGION_COLORS, SQUARE, Picture, count_whole, page_picture, write_page
from conr.report.tables import REGION_TITLES, with_unit

SCHEMA = "conr.explanation/1"
_MOST_VALUES = 12
_COLLAPSE_LINES = {"collapse": "all", **{f"collapse_{region}": region for region in REGIONS}}


def write_explanation(found: Explanation, out: Path) -> Path:
    """Write the page about what `explain_run` found, as `write_page` does; return its path."""
    return write_page(
        out,
        "explanation.html.j2",
        found=found,
        label=_label_title(found),
        colors={},
        distribution=[_distribution_picture(found)],
        maps=[_map_picture(found, title, samples) for title, samples in found.maps.items()],
        collapse=[_collapse_picture(found)],
        gaps=gaps_table(found),
        rare=[
            {"sample": _card(one.sample), "neighbours": [_card(other) for other in one.neighbours]}
            for one in found.rare
        ],
        worst=[_card(one) for one in found.worst],
        data=Markup(_embedded_numbers(found)),  # noqa: S704  JSON without angle brackets
    )


def _distribution_picture(found: Explanation) -> Picture:
    """True labels and predictions per bin, of the widest label dimension."""
    dimension = _widest(found)
    edges = np.asarray(found.described["bins"]["edges"][dimension])
    bins = Bins(edges.tolist())
    one_dimension = len(found.described["bins"]["edges"]) == 1

    def draw(figure: Figure) -> None:
        true, predicted = (  # (bins,) each
            np.bincount(bins.index(part[np.isfinite(part)], check=False).numpy(), minlength=len(bins))
            for part in (found.trained.labels[:, dimension], found.trained.predictions[:, dimension])
        )
        regions = found.described["bins"]["regions"]
        colors: Any = [REGION_COLORS[region] for region in regions] if one_dimension else REGION_COLORS["median"]
        axes = figure.subplots()
        axes.bar(edges[:-1], true, width=np.diff(edges), align="edge", color=colors, linewidth=0, label="labels")
        axes.stairs(predicted, edges, color=INK, linewidth=1.2, label="predictions")
        axes.set(xlabel=_label_title(found), ylabel=f"{found.split} samples", xlim=edges[[0, -1]])
        axes.legend(loc="upper right")

    return page_picture(
        "Labels and predictions",
        "Samples per label bin: filled, their true labels; the line, the predictions. Where the line stays below the "
        "bars at rare labels, the network answers with common ones.",
        "Samples per label bin: true labels and predictions",
        draw,
    )


def _map_picture(found: Explanation, title: str, samples: Embedded) -> Picture:
    """Features in the plane, coloured by the widest label dimension."""
    dimension = _widest(found)
    return page_picture(
        f"Features: {title}",
        f"The same samples placed in the plane by t-SNE, one point each, coloured by label. {READING_OF_FEATURES} "
        "Distances between groups far apart mean nothing.",
        "Features in two dimensions, coloured by label",
        partial(
            draw_features,
            features=samples.features,
            labels=samples.labels[:, dimension],
            edges=found.described["bins"]["edges"][dimension],
            title=_label_title(found),
            tsne=True,
        ),
        height=SQUARE,
    )


def _collapse_picture(found: Explanation) -> Picture:
    """The logged measure of collapse over epochs by region."""

    def draw(figure: Figure) -> None:
        if not found.collapse:
            raise ValueError("the run did not log it (model.collapse_window)")
        axes = figure.subplots()
        for name, region in _COLLAPSE_LINES.items():
            values = found.collapse.get(name)
            if values:
                color, line = (INK, "--") if region == "all" else (REGION_COLORS[region], "-")
                epochs, shares = zip(*((epoch + 1, share) for epoch, share in values), strict=True)
                axes.plot(epochs, shares, line, color=color, linewidth=1.6, label=REGION_TITLES[region])
        axes.set(xlabel="epoch", ylabel="share of pairs")
        count_whole(axes.xaxis)
        axes.set_ylim(bottom=0)
        axes.legend()

    return page_picture(
        "Collapse over training",
        "Share of the pairs of a training batch whose predictions agree although their labels do not, by the region of "
        "one of them; lower is better. It is what ConR works against.",
        "Share of pairs with agreeing predictions and different labels, over epochs",
        draw,
    )


def _label_title(found: Explanation) -> str:
    return with_unit(found.described["label"]["name"], found.described["label"]["unit"])


def _widest(found: Explanation) -> int:
    return int(np.argmax([edges[-1] - edges[0] for edges in found.described["bins"]["edges"]]))


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
