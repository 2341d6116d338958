"""Few-shot error over many-shot error at several strengths of a reweighting, with and without ConR."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conr.bench.ablation import Ablation, Point
from conr.bench.factors import AXES
from conr.report.style import HEIGHT, INK_ON_WHITE, REGION_COLORS, drawing, save_picture
from conr.runs.atomic import write_text

NUMBERS, PICTURE = "frontier.json", "frontier.png"
SCHEMA = "conr.frontier/1"
STRENGTHS = ("power", "sampling")
CONR = "conr"


class Strength(NamedTuple):
    """Errors of one strength, means over seeds.

    Attributes:
        value: the strength.
        many: error on many-shot labels.
        few: error on few-shot labels.
    """

    value: float
    many: float
    few: float


@dataclass(frozen=True)
class Frontier:
    """Two curves of one reweighting; the content of ``frontier.json``.

    Args:
        dataset: its name.
        method: the reweighting, such as "sqinv".
        metric: of the test split.
        unit: of the label.
        axis: what its strength is, a name of ``AXES``.
        without: by strength.
        beside: the same with ConR.
        gain: by how much ConR lowers the few-shot error at equal many-shot error, see `gain_at_equal_error`.
    """

    dataset: str
    method: str
    metric: str
    unit: str
    axis: str
    without: list[Strength]
    beside: list[Strength]
    gain: float


def frontiers(ablations: Sequence[Ablation]) -> list[Frontier]:
    """The frontiers of every reweighting that was varied in strength both with and without ConR.

    Args:
        ablations: as `conr.bench.measure` gives them.
    """
    found = []
    for one in ablations:
        for other in ablations:
            parts = sorted([*one.method.split("+"), CONR])
            if one.dataset == other.dataset and sorted(other.method.split("+")) == parts:
                for axis in STRENGTHS:
                    without, beside = (_strengths(two.factors.get(axis, [])) for two in (one, other))
                    if without and beside:
                        gain = gain_at_equal_error(without, beside)
                        found.append(
                            Frontier(one.dataset, one.method, one.metric, one.unit, axis, without, beside, gain)
                        )
    return found


def gain_at_equal_error(without: Sequence[Strength], beside: Sequence[Strength]) -> float:
    r"""Mean few-shot error that the second curve saves at equal many-shot error: the area between two curves.

    $$\frac{1}{h - l} \int_l^h f_1(m) - f_2(m) \, dm$$

    Symbols: $f(m)$ the lowest few-shot error of a curve at a many-shot error of at most $m$, between two strengths on
    the straight line that joins them; from $l$, where both curves have begun, to $h$, where the later one ends.

    Args:
        without: strengths of the first curve, at least one.
        beside: of the second.

    Returns:
        In the unit of the errors, positive if the second curve is lower.

    Example:
        >>> gain_at_equal_error([Strength(0, 5, 20), Strength(1, 7, 14)], [Strength(0, 5, 18), Strength(1, 7, 12)])
        2.0
    """
    curves = [_lower_envelope(one) for one in (without, beside)]
    low, high = max(many[0] for many, _ in curves), max(many[-1] for many, _ in curves)
    if high <= low:
        one, other = (float(np.interp(low, *curve)) for curve in curves)
        return one - other
    # Both curves are straight between neighbours of these, so the trapezoids are exact.
    at = np.unique(np.clip(np.concatenate([many for many, _ in curves]), low, high))
    difference = np.interp(at, *curves[0]) - np.interp(at, *curves[1])
    means = (difference[1:] + difference[:-1]) / 2
    return float((means * np.diff(at)).sum() / (high - low))


def write_frontier(frontier: Frontier, folder: Path) -> list[Path]:
    """Write ``frontier.json`` and ``frontier.png``, and return their paths.

    Args:
        frontier: the curves.
        folder: where the files go; it is made if needed.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, **asdict(frontier)}
    for name in ("without", "beside"):
        content[name] = [one._asdict() for one in getattr(frontier, name)]
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    with drawing(INK_ON_WHITE):
        figure = Figure(figsize=(HEIGHT * 1.4, HEIGHT), layout="constrained", facecolor="white")
        axes = figure.subplots()
        curves = {frontier.method: ("#7a7a7a", frontier.without)}
        curves[f"{frontier.method}+{CONR}"] = (REGION_COLORS["few"], frontier.beside)
        for title, (color, points) in curves.items():
            draw_curve(axes, points, color=color, label=title)
        unit = f" ({frontier.unit})" if frontier.unit else ""
        metric = frontier.metric.upper()
        axes.set(xlabel=f"many-shot {metric}{unit}", ylabel=f"few-shot {metric}{unit}")
        axes.legend(title=AXES[frontier.axis].title)
        picture = save_picture(figure, folder / PICTURE)
    return [write_text(folder / NUMBERS, f"{text}\n"), picture]


def draw_curve(axes: Axes, points: Sequence[Strength], *, color: str, label: str) -> None:
    """Draw few-shot over many-shot error, with the strength beside each point."""
    many, few = [one.many for one in points], [one.few for one in points]
    axes.plot(many, few, color=color, marker="o", markersize=4, linewidth=1.6, label=label)
    for one in points:
        axes.annotate(f"{one.value:g}", (one.many, one.few), xytext=(4, 4), textcoords="offset points")


def _strengths(points: Sequence[Point]) -> list[Strength]:
    found = [Strength(float(point.value), point.errors["many"].mean, point.errors["few"].mean) for point in points]
    return [one for one in found if np.isfinite([one.many, one.few]).all()]


def _lower_envelope(points: Sequence[Strength]) -> tuple[np.ndarray, np.ndarray]:
    """Many-shot errors, increasing, and few-shot errors, decreasing, of the points that no other beats in both."""
    best = np.inf
    kept = []
    for one in sorted(points, key=lambda point: (point.many, point.few)):
        if one.few < best:
            best = one.few
            kept.append((one.many, one.few))
    many, few = np.asarray(kept).T
    return many, few
