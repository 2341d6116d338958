"""The trade-off between frequent and rare labels: many-shot error against few-shot error."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from conr.report.aggregate import BASELINE_NAMES, DatasetRuns, Spread, load_runs
from conr.report.grid import PART, error_of, grid_methods, method_pairs
from conr.report.style import BASELINE_LOOK, FAMILY_LOOKS, INK, INK_ON_WHITE, WIDTH, drawing, inline_svg, save_picture
from conr.report.tables import headline_metric, unit_of

FEWEST_METHODS = 2
Look = tuple[str, str]  # colour and marker
_LEGEND_COLUMNS = 3


class TradeOff(NamedTuple):
    """What a trade-off picture shows.

    Attributes:
        points: headline error in the many-shot and in the few-shot region, over seeds, of each method.
        pairs: methods joined by an arrow: X and X + conr.
        frontier: methods without conr that no other one without it beats in both regions, by many-shot error.
        missing: methods with an undefined error, which have no point.
    """

    points: dict[str, tuple[Spread, Spread]]
    pairs: tuple[tuple[str, str], ...]
    frontier: tuple[str, ...]
    missing: tuple[str, ...]


def trade_off(group: DatasetRuns) -> TradeOff:
    """The points, arrows and frontier of a dataset."""
    name = headline_metric(group).name
    spreads = {row.method: (row.metrics["many"][name], row.metrics["few"][name]) for row in group.rows}
    methods = [method for method in grid_methods([group]) if all(one.seeds for one in spreads[method])]
    points = {method: tuple(_as_error(group, one) for one in spreads[method]) for method in methods}
    plain = sorted((method for method in methods if PART not in method.split("+")), key=lambda one: _place(points[one]))
    frontier: list[str] = []
    for method in plain:
        if not frontier or points[method][1].mean < points[frontier[-1]][1].mean:
            frontier.append(method)
    return TradeOff(
        {method: (many, few) for method, (many, few) in points.items()},
        tuple(method_pairs(methods)),
        tuple(frontier),
        tuple(method for method in group.methods if method not in points),
    )


def family_looks(groups: Sequence[DatasetRuns]) -> dict[str, Look]:
    """Colour and marker of each method, the same on all datasets; X and X + conr share one."""
    methods = grid_methods(groups)
    plain_of = {combined: plain for plain, combined in method_pairs(methods)}
    families = dict.fromkeys(plain_of.get(method, method) for method in methods)
    looks = dict(
        zip((one for one in families if one not in BASELINE_NAMES), itertools.cycle(FAMILY_LOOKS), strict=False)
    )
    looks |= {family: BASELINE_LOOK for family in families if family in BASELINE_NAMES}
    return {method: looks[plain_of.get(method, method)] for method in methods}


def trade_off_svg(group: DatasetRuns, looks: Mapping[str, Look]) -> str:
    """Draw the trade-off for the page, each method as `family_looks` says.

    Raises:
        ValueError: fewer than two methods with an error in both regions.
    """
    found = _checked(group)
    with drawing():
        figure = _figure(group, found, looks, ink=INK, background="none")
        return inline_svg(figure, f"Few-shot over many-shot error on {group.dataset}: {', '.join(found.points)}")


def trade_off_pictures(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Draw the trade-off of each dataset as a PNG for documents.

    Args:
        paths: result files, folders of runs, or folders above.
        folder: gets the file ``DATASET.png`` of each dataset; it is made.

    Returns:
        The files, by dataset.

    Raises:
        FileNotFoundError, ValueError: as `load_runs`; or a dataset with fewer than two methods with an error in both
            regions.
    """
    groups = load_runs(paths)
    looks = family_looks(groups)
    pictures = []
    for group in groups:
        found = _checked(group)
        with drawing(INK_ON_WHITE):
            figure = _figure(group, found, looks, ink=INK_ON_WHITE, background="white")
            figure.axes[0].set_title(group.dataset)
            pictures.append(save_picture(figure, folder / f"{group.dataset}.png", dpi=160))
    return pictures


def _checked(group: DatasetRuns) -> TradeOff:
    found = trade_off(group)
    if len(found.points) < FEWEST_METHODS:
        raise ValueError(
            f"{group.dataset}: expected at least {FEWEST_METHODS} methods with a many-shot and a few-shot error, got "
            f"{len(found.points)}"
        )
    return found


def _figure(group: DatasetRuns, found: TradeOff, looks: Mapping[str, Look], *, ink: str, background: str) -> Figure:
    plain_of = {combined: plain for plain, combined in found.pairs}
    families = list(dict.fromkeys(plain_of.get(method, method) for method in found.points))
    rows = math.ceil((len(families) + 2) / _LEGEND_COLUMNS)
    figure = Figure(figsize=(WIDTH, WIDTH * 0.78 + 0.19 * rows), layout="constrained", facecolor=background)
    axes = figure.subplots()
    corners = [found.points[method] for method in found.frontier]
    axes.plot(
        [many.mean for many, _ in corners],
        [few.mean for _, few in corners],
        color=ink,
        linestyle=(0, (4, 3)),
        linewidth=0.9,
        alpha=0.6,
        zorder=1,
    )
    for method, (many, few) in found.points.items():
        color, marker = looks[method]
        _draw_point(axes, many, few, color=color, marker=marker, filled=PART in method.split("+"))
    for plain, combined in found.pairs:
        start, end = _place(found.points[plain]), _place(found.points[combined])
        arrow = {"arrowstyle": "-|>", "color": looks[plain][0], "linewidth": 1.2, "shrinkA": 4, "shrinkB": 4}
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow, zorder=2)
    axes.set(xlabel=_axis_title(group, "many-shot"), ylabel=_axis_title(group, "few-shot"))
    axes.margins(0.08)
    handles = [_mark(family, *looks[family], filled=PART in family.split("+")) for family in families]
    handles.append(_mark(f"filled: with {PART}", ink, "o", filled=True))
    handles.append(Line2D([], [], color=ink, alpha=0.6, linewidth=0.9, linestyle=(0, (4, 3)), label="frontier"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=_LEGEND_COLUMNS,
        fontsize=9,
        handletextpad=0.3,
        columnspacing=1.0,
    )
    return figure


def _draw_point(axes: Axes, many: Spread, few: Spread, *, color: str, marker: str, filled: bool) -> None:
    # One seed has no standard deviation, and its point no bars.
    axes.errorbar(
        many.mean,
        few.mean,
        xerr=None if math.isnan(many.std) else many.std,
        yerr=None if math.isnan(few.std) else few.std,
        color=color,
        marker=marker,
        markersize=6,
        markerfacecolor=color if filled else "none",
        markeredgewidth=1.4,
        elinewidth=0.8,
        alpha=0.9,
        zorder=3,
    )


def _mark(label: str, color: str, marker: str, *, filled: bool) -> Line2D:
    face = color if filled else "none"
    return Line2D([], [], color=color, marker=marker, markerfacecolor=face, linestyle="", markersize=6, label=label)


def _as_error(group: DatasetRuns, value: Spread) -> Spread:
    return value._replace(mean=error_of(group, value.mean))


def _place(point: Sequence[Spread]) -> tuple[float, float]:
    many, few = point
    return many.mean, few.mean


def _axis_title(group: DatasetRuns, region: str) -> str:
    metric = headline_metric(group)
    title = f"1 - {metric.title}" if metric.higher_is_better else metric.title
    unit = unit_of(metric, group)
    return f"{region} {title} ({unit})" if unit else f"{region} {title}"
