"""An inspected table as text for a terminal, a picture, a JSON file, and a configuration to start from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Group
from rich.text import Text

from conr.data.inspection import FEWEST_TESTED, Inspection, Outliers
from conr.density import REGIONS, ConRSettings
from conr.methods.presets import preset_config
from conr.report.histogram import draw_histogram, histogram_picture, terminal_histogram
from conr.report.style import WIDTH, write_png
from conr.report.tables import REGION_TITLES, TextTable, significant_text, with_unit
from conr.runs.atomic import write_text
from conr.runs.yaml_text import yaml_text

SCHEMA = "conr.inspection/1"
NUMBERS, PICTURE, SETTINGS = "inspection.json", "inspection.png", "settings.yaml"

_MOST_NAMED = 5
_TESTED_COLOR, _EMPTY_COLOR = "#1f83cb", "#d55e00"


def write_inspection(inspection: Inspection, folder: Path, *, options: Mapping[str, Any]) -> list[Path]:
    """Write ``inspection.json``, ``inspection.png`` and ``settings.yaml``, a configuration for ``conr fit``.

    Args:
        inspection: of a table.
        folder: where the files go; it is made if needed.
        options: arguments that `conr.data.Table` was made of, for the configuration.

    Returns:
        The files in this order.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(inspection_content(inspection), indent=1, allow_nan=False, ensure_ascii=False)
    suggested = suggested_configuration(inspection, options)
    configuration = yaml_text(suggested)
    return [
        write_text(folder / NUMBERS, f"{text}\n"),
        _write_picture(inspection, folder / PICTURE),
        write_text(folder / SETTINGS, configuration),
    ]


def inspection_content(inspection: Inspection) -> dict[str, Any]:
    """The content of ``inspection.json``."""
    density, suggestion = inspection.density, inspection.suggestion
    labels = inspection.labels["train"].double()
    return {
        "schema": SCHEMA,
        "file": str(inspection.path),
        "target": inspection.label_name,
        "unit": inspection.label_unit,
        "rows": {"file": inspection.rows, **{split: len(part) for split, part in inspection.labels.items()}},
        "training_labels": {
            "lowest": labels.amin(dim=0).tolist(),
            "highest": labels.amax(dim=0).tolist(),
            "mean": labels.mean(dim=0).tolist(),
            "median": labels.median(dim=0).values.tolist(),
            "std": labels.std(dim=0, correction=0).tolist(),
        },
        "bins": {
            **density.table(),
            "val_counts": inspection.val_counts.tolist(),
            "test_counts": inspection.test_counts.tolist(),
            "too_empty_to_test": inspection.untested,
        },
        "imbalance": inspection.imbalance._asdict(),
        "outliers": [one._asdict() for one in inspection.outliers],
        "suggestion": {
            "bin_width": suggestion.bin_width,
            "scheme": suggestion.scheme,
            "settings": suggestion.settings._asdict(),
            "standardised": suggestion.standardised._asdict(),
            "method": suggested_method(inspection),
        },
    }


def suggested_method(inspection: Inspection) -> str:
    """The method of a preset with the suggested weights and ConR."""
    return "conr" if inspection.suggestion.scheme == "none" else "sqinv+conr"


def suggested_configuration(inspection: Inspection, options: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of ``conr fit`` with the table of these options and the suggested settings."""
    config = preset_config(f"table-{suggested_method(inspection)}")
    config["data"]["init_args"] = {**config["data"].get("init_args", {}), **options}
    set_conr(config, inspection.suggestion.standardised)
    config["model"]["regularizers"]["conr"]["density"]["init_args"]["scheme"] = inspection.suggestion.scheme
    return config


def set_conr(config: dict[str, Any], settings: ConRSettings) -> None:
    """Put settings into a configuration that has ConR."""
    term = config["model"]["regularizers"]["conr"]
    term["coefficient"] = settings.coefficient
    term["loss"]["init_args"] |= {
        # A little wider, so that labels one bin apart stay inside it when they are divided.
        "window": float(f"{1.001 * settings.window:.4g}"),
        "temperature": settings.temperature,
        "distance_scale": settings.distance_scale,
    }


def inspection_text(inspection: Inspection) -> Group:
    """Show an inspected table in a terminal: histogram, shot regions, imbalance, suggestions."""
    return Group(
        terminal_histogram(inspection.density, _label(inspection)),
        Text(""),
        _regions_table(inspection).terminal(),
        Text("\n".join(["", *imbalance_sentences(inspection), ""])),
        _suggestions_table(inspection).terminal(),
    )


def imbalance_sentences(inspection: Inspection) -> list[str]:
    """Say in words how imbalanced the labels are, and which bins cannot be tested."""
    found, untested = inspection.imbalance, inspection.untested
    sentences = [
        f"Half of the training rows lie in {found.half:.0%} of the bins; it would be 50% if they were even.",
        f"The fullest bin has {found.ratio:,.0f} times the rows of the emptiest.",
        f"Few-shot bins are {found.few_bins:.0%} of the label range and hold {found.few_rows:.1%} of the rows.",
    ]
    sentences += [_outliers_sentence(one) for one in inspection.outliers]
    if untested:
        sentences.append(
            f"Too empty to test (fewer than {FEWEST_TESTED} test rows): {_ranges(inspection)}. Trust the errors of "
            "regions there, not those of bins."
        )
    else:
        sentences.append(f"Every bin has at least {FEWEST_TESTED} test rows.")
    return sentences


def _outliers_sentence(found: Outliers) -> str:
    some = ", ".join(f"{label:g}" for label in found.labels[:_MOST_NAMED])
    more = f" and {len(found.labels) - _MOST_NAMED} more values" if len(found.labels) > _MOST_NAMED else ""
    rows = "row lies" if found.rows == 1 else "rows lie"
    bins = f" Without them bins of width {found.bin_width:g} would do." if found.bin_width else ""
    return (
        f"{found.rows} {rows} far from all others in {found.target}: {some}{more}, where the others are {found.low:g} "
        f"to {found.high:g}, so that nearly all bins are empty. Errors or codes for a missing value should be removed; "
        f"if they are right, the logarithm of the label may suit better.{bins}"
    )


def _ranges(inspection: Inspection) -> str:
    """Bins that are too empty to test, neighbours joined; counted only with several label dimensions."""
    untested = inspection.untested
    bins = inspection.density.fitted_bins()
    if bins.dimensions > 1:
        return f"{len(untested)} of {len(bins)} cells"
    edges = bins.edges[0].tolist()
    groups: list[list[int]] = []
    for one in untested:
        if groups and groups[-1][-1] == one - 1:
            groups[-1].append(one)
        else:
            groups.append([one])
    return ", ".join(f"{edges[group[0]]:g} to {edges[group[-1] + 1]:g}" for group in groups)


def _label(inspection: Inspection) -> str:
    return with_unit(inspection.label_name, inspection.label_unit)


def _regions_table(inspection: Inspection) -> TextTable:
    density = inspection.density
    counts = (density.counts.flatten(), inspection.val_counts, inspection.test_counts)
    lines = []
    for region, title in REGION_TITLES.items():
        rows = density.region_of_bin >= 0 if region == "all" else density.region_of_bin == REGIONS.index(region)
        cells = [f"{int(rows.sum())}", *(f"{int(count[rows].sum()):,}" for count in counts)]
        lines.append([title, *cells, significant_text(inspection.imbalance.constant_errors[region])])
    header = ("region", "bins", "train", "val", "test", "error of always answering median")
    return TextTable.of("", header, lines)


def _suggestions_table(inspection: Inspection) -> TextTable:
    suggestion, bins = inspection.suggestion, inspection.density.fitted_bins()
    lines = []
    if suggestion.bin_width is not None:
        width = float(bins.edges[0].diff().median())
        same = suggestion.bin_width == width
        why = "those of the runs" if same else f"those of the runs, {width:g} wide, leave too many too empty to test"
        lines.append(["bins", f"{suggestion.bin_width:g} wide", "", why])
    counts = "even counts" if suggestion.scheme == "none" else "uneven counts"
    lines.append(["weights", suggestion.scheme, "", counts])
    reasons = {
        "window": "labels of one bin are alike",
        "temperature": "the usual value",
        "distance_scale": "1 / range of the labels",
        "coefficient": "0.04 of the range, for an L1 criterion",
    }
    for name, why in reasons.items():
        values = (getattr(part, name) for part in (suggestion.settings, suggestion.standardised))
        lines.append([name, *map(significant_text, values), why])
    header = ("suggestion", "in label units", "standardised", "why")
    return TextTable.of("", header, lines, words=header)


def _write_picture(inspection: Inspection, path: Path) -> Path:
    label, density = _label(inspection), inspection.density
    title = f"training labels of {inspection.path.stem}"
    if density.fitted_bins().dimensions > 1:
        return histogram_picture(density, label, path, title=title)
    edges = density.fitted_bins().edges[0].numpy()
    regions = [REGIONS[region] for region in density.region_of_bin.tolist()]
    counts = inspection.test_counts.numpy()

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        draw_histogram(above, edges=edges, counts=density.counts.numpy(), regions=regions, label="")
        above.set_title(title)
        empty, widths = np.isin(np.arange(len(counts)), inspection.untested), np.diff(edges)
        few = f"fewer than {FEWEST_TESTED}"
        for part, color, name in ((~empty, _TESTED_COLOR, "enough"), (empty, _EMPTY_COLOR, few)):
            if part.any():
                below.bar(edges[:-1][part], counts[part], widths[part], align="edge", color=color, label=name)
        middles = (edges[:-1] + widths / 2)[empty]
        below.plot(middles, np.zeros(len(middles)), "|", color=_EMPTY_COLOR, markersize=9, clip_on=False)
        below.set(xlabel=label, ylabel="test samples")
        below.legend(loc="lower right", bbox_to_anchor=(1, 0.96), ncols=2)  # above: any bar may be full

    return write_png(path, draw, width=1.5 * WIDTH, height=4.6)
