"""The pictures of a comparison: many-shot against few-shot errors of each dataset, and average ranks over datasets."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from conr.report.aggregate import BASELINE_NAMES, DatasetRuns, Spread, load_runs
from conr.report.comparison import rank_methods
from conr.report.paired import PART, error_of, grid_methods, method_pairs
from conr.report.statistics import AverageRanks
from conr.report.style import (
    BASELINE_LOOK,
    FAMILY_LOOKS,
    INK,
    INK_ON_WHITE,
    WIDTH,
    MethodStyles,
    Picture,
    page_picture,
    write_png,
)
from conr.report.summary import headline_metric, unit_of
from conr.report.tables import REGION_TITLES, with_unit

FEWEST_POINTS = 2
PICTURED_REGIONS = ("all", "few")
Look = tuple[str, str]  # colour and marker
_LEGEND_COLUMNS = 3


class TradeOff(NamedTuple):
    """Content of a trade-off picture."""

    # headline error in the many-shot and in the few-shot region, over seeds, of each method
    points: dict[str, tuple[Spread, Spread]]
    pairs: tuple[tuple[str, str], ...]  # methods joined by an arrow: X and X + conr
    # methods without conr that no other one without it beats in both regions, by many-shot error
    frontier: tuple[str, ...]
    missing: tuple[str, ...]  # methods with an undefined error, which have no point


def trade_off(group: DatasetRuns) -> TradeOff:
    """The points, arrows and frontier of a dataset."""
    name = headline_metric(group).name
    points = {}
    for row in group.rows:
        found = (row.metrics[region][name] for region in ("many", "few"))
        many, few = (one._replace(mean=error_of(group, one.mean)) for one in found)
        if many.seeds and few.seeds:
            points[row.method] = many, few
    methods = [method for method in grid_methods([group]) if method in points]
    plain = sorted((method for method in methods if PART not in method.split("+")), key=lambda one: _place(points[one]))
    frontier: list[str] = []
    for method in plain:
        if not frontier or points[method][1].mean < points[frontier[-1]][1].mean:
            frontier.append(method)
    return TradeOff(
        {method: points[method] for method in methods},
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


def trade_off_gallery(groups: Sequence[DatasetRuns]) -> list[Picture]:
    """Draw the trade-off between common and rare labels for the page, one picture per dataset with several methods."""
    looks = family_looks(groups)
    pictures = []
    for group in [one for one in groups if len(one.methods) >= FEWEST_POINTS]:
        found = trade_off(group)
        missing = ", ".join(found.missing)
        caption = f"Not shown, because an error is undefined: {missing}." if missing else ""
        described = f"Few-shot over many-shot error on {group.dataset}: {', '.join(found.points)}"
        pictures.append(page_picture(group.dataset, caption, described, partial(_draw_trade_off, group, looks, INK)))
    return pictures


def ranks_gallery(groups: Sequence[DatasetRuns], styles: MethodStyles) -> list[Picture]:
    """Draw the critical differences of average ranks, of the regions that can be ranked."""
    rankings = [rank_methods(groups, region) for region in PICTURED_REGIONS]
    return [
        page_picture(
            f"Average ranks: {REGION_TITLES[ranking.region]}",
            "A point is a method's average rank, its line as long as Nemenyi's critical difference "
            f"({ranking.found.critical_difference:.2f}). Two methods differ significantly if their lines do not "
            "overlap; those whose lines reach into the shade are not shown to be worse than the first.",
            f"Average ranks, {REGION_TITLES[ranking.region]}: {', '.join(ranking.methods)}",
            partial(_draw_ranks, ranking.methods, ranking.found, styles),
            height=1.1 + 0.27 * len(ranking.methods),
        )
        for ranking in rankings
        if ranking.found is not None
    ]


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

        def draw(figure: Figure, group: DatasetRuns = group) -> None:
            _draw_trade_off(group, looks, INK_ON_WHITE, figure)
            figure.axes[0].set_title(group.dataset)

        pictures.append(write_png(folder / f"{group.dataset}.png", draw))
    return pictures


def _draw_trade_off(group: DatasetRuns, looks: Mapping[str, Look], ink: str, figure: Figure) -> None:
    found = trade_off(group)
    if len(found.points) < FEWEST_POINTS:
        raise ValueError(
            f"{group.dataset}: expected at least {FEWEST_POINTS} methods with a many-shot and a few-shot error, got "
            f"{len(found.points)}"
        )
    plain_of = {combined: plain for plain, combined in found.pairs}
    families = list(dict.fromkeys(plain_of.get(method, method) for method in found.points))
    figure.set_figheight(WIDTH * 0.78 + 0.19 * math.ceil((len(families) + 2) / _LEGEND_COLUMNS))
    axes = figure.subplots()
    dashed: dict[str, Any] = {"color": ink, "linestyle": (0, (4, 3)), "linewidth": 0.9, "alpha": 0.6}
    axes.plot(*zip(*(_place(found.points[method]) for method in found.frontier), strict=True), **dashed, zorder=1)
    for method, (many, few) in found.points.items():
        color, marker = looks[method]
        _draw_point(axes, many, few, color=color, marker=marker, filled=PART in method.split("+"))
    for plain, combined in found.pairs:
        start, end = _place(found.points[plain]), _place(found.points[combined])
        arrow = {"arrowstyle": "-|>", "color": looks[plain][0], "linewidth": 1.2, "shrinkA": 4, "shrinkB": 4}
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow, zorder=2)
    metric = headline_metric(group)
    title = with_unit(f"1 - {metric.title}" if metric.higher_is_better else metric.title, unit_of(metric, group))
    axes.set(xlabel=f"many-shot {title}", ylabel=f"few-shot {title}")
    axes.margins(0.08)
    handles = [_mark(family, *looks[family], filled=PART in family.split("+")) for family in families]
    handles += [_mark(f"filled: with {PART}", ink, "o", filled=True), Line2D([], [], **dashed, label="frontier")]
    spaces: dict[str, Any] = {"handletextpad": 0.3, "columnspacing": 1.0}
    figure.legend(handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=9, **spaces)


def _draw_ranks(methods: Sequence[str], found: AverageRanks, styles: MethodStyles, figure: Figure) -> None:
    axes = figure.subplots()
    half, ranks = found.critical_difference / 2, found.ranks
    axes.axvspan(ranks[0] - half, ranks[0] + half, color=INK, alpha=0.07, linewidth=0)
    for place, (method, rank) in enumerate(zip(methods, ranks.tolist(), strict=True)):
        color = styles.color(method)
        axes.plot([rank - half, rank + half], [place, place], color=color, linewidth=2.5, solid_capstyle="butt")
        axes.plot(rank, place, "o", color=color, markersize=6.5)
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xticks(range(1, len(ranks) + 1, 1 + len(ranks) // 12))
    axes.set_xlabel("average rank (1 is best)")
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)


def _draw_point(axes: Axes, many: Spread, few: Spread, *, color: str, marker: str, filled: bool) -> None:
    # One seed has no standard deviation, and its point no bars.
    across, up = (None if math.isnan(one.std) else one.std for one in (many, few))
    look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 6, "markeredgewidth": 1.4, "alpha": 0.9}
    look |= {"markerfacecolor": color if filled else "none", "elinewidth": 0.8, "zorder": 3}
    axes.errorbar(many.mean, few.mean, xerr=across, yerr=up, **look)


def _mark(label: str, color: str, marker: str, *, filled: bool) -> Line2D:
    face = color if filled else "none"
    return Line2D([], [], color=color, marker=marker, markerfacecolor=face, linestyle="", markersize=6, label=label)


def _place(point: Sequence[Spread]) -> tuple[float, float]:
    many, few = point
    return many.mean, few.mean
