"""Average ranks of methods over datasets, and the picture of their critical difference."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from conr.density.regions import GROUPS
from conr.report.aggregate import DatasetRuns
from conr.report.grid import grid_methods, mean_error
from conr.report.paired import p_text
from conr.report.statistics import ALPHA, AverageRanks, average_ranks
from conr.report.style import INK, WIDTH, MethodStyles, drawing, inline_svg
from conr.report.tables import NOTHING, REGION_TITLES
from conr.report.text_table import Entry, TextTable, rows_of

FEWEST_DATASETS = 2
FEWEST_METHODS = 3
PICTURED_REGIONS = ("all", "few")


class Ranking(NamedTuple):
    """Methods ranked by mean headline error over seeds, on datasets where all of them have one.

    Attributes:
        region: a shot region, or "all".
        methods: from the best average rank to the worst.
        datasets: their names.
        found: ranks in the order of ``methods``; None with too few methods or datasets.
        notes: what was left out, and why there are no ranks if so.
    """

    region: str
    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    found: AverageRanks | None
    notes: tuple[str, ...]


def rank_methods(groups: Sequence[DatasetRuns], region: str) -> Ranking:
    """Rank the methods that have an error on every dataset; the others are named in the notes."""
    errors = {
        group.dataset: {method: mean_error(group, method, region) for method in group.methods} for group in groups
    }
    undefined = [dataset for dataset, found in errors.items() if all(map(math.isnan, found.values()))]
    datasets = [dataset for dataset in errors if dataset not in undefined]
    notes = [f"{dataset} is not ranked: no method has an error there." for dataset in undefined]
    methods = []
    for method in grid_methods(groups):
        lacking = [dataset for dataset in datasets if math.isnan(errors[dataset].get(method, math.nan))]
        if lacking:
            notes.append(f"{method} is not ranked: it has no error on {', '.join(lacking)}.")
        elif datasets:
            methods.append(method)
    if len(datasets) < FEWEST_DATASETS or len(methods) < FEWEST_METHODS:
        notes.append(
            f"No ranks: they need at least {FEWEST_DATASETS} datasets and {FEWEST_METHODS} methods on all of them, "
            f"here are {len(datasets)} and {len(methods)}."
        )
        return Ranking(region, tuple(methods), tuple(datasets), None, tuple(notes))
    found = average_ranks([[errors[dataset][method] for method in methods] for dataset in datasets])
    order = sorted(range(len(methods)), key=lambda index: (found.ranks[index], index))
    ordered = tuple(methods[index] for index in order)
    return Ranking(region, ordered, tuple(datasets), found._replace(ranks=found.ranks[order]), tuple(notes))


def ranks_table(groups: Sequence[DatasetRuns]) -> TextTable | None:
    """Average rank of each method per shot region, with the tests below; None if no region can be ranked."""
    rankings = [rank_methods(groups, region) for region in GROUPS]
    ranked = [one for one in rankings if one.found is not None]
    if not ranked:
        return None
    cells: dict[str, list[Entry]] = {method: [] for one in ranked for method in one.methods}
    for one in rankings:
        places = {} if one.found is None else dict(zip(one.methods, one.found.ranks.tolist(), strict=True))
        for method, line in cells.items():
            best = method in places and places[method] == min(places.values())
            line.append(Entry(f"{places[method]:.2f}", best=best) if method in places else Entry(NOTHING))
    regions_of: dict[str, list[str]] = {}
    for one in rankings:
        for note in one.notes:
            regions_of.setdefault(note, []).append(REGION_TITLES[one.region])
    notes = [
        note if len(regions) == len(rankings) else f"{', '.join(regions)}: {note}"
        for note, regions in regions_of.items()
    ]
    notes += [ranks_sentence(one) for one in ranked]
    caption = "Average rank by the mean headline error over seeds; 1 would be the best method on every dataset."
    header = ("method", *(REGION_TITLES[region] for region in GROUPS))
    rows = rows_of([[method, *line] for method, line in cells.items()])
    return TextTable(caption, header, (("", rows),), tuple(notes))


def ranks_sentence(ranking: Ranking) -> str:
    """What the tests say about a ranking."""
    if ranking.found is None:
        return ""
    found = ranking.found
    where = f"{REGION_TITLES[ranking.region]}, {len(ranking.datasets)} datasets, {len(ranking.methods)} methods"
    if math.isnan(found.p):
        return f"Friedman's test ({where}): all methods rank alike."
    verdict = "some methods differ" if found.p <= ALPHA else "no method is shown to differ from another"
    return (
        f"Friedman's test ({where}): p {'' if found.p < 0.001 else '= '}{p_text(found.p)}, {verdict}. "
        f"Nemenyi's critical difference of two ranks is {found.critical_difference:.2f}."
    )


def ranks_svg(ranking: Ranking, styles: MethodStyles) -> str | None:
    """Average ranks with intervals of one critical difference; None if nothing is ranked."""
    if ranking.found is None:
        return None
    with drawing():
        figure = Figure(figsize=(WIDTH, 1.1 + 0.27 * len(ranking.methods)), layout="constrained", facecolor="none")
        axes = figure.subplots()
        half = ranking.found.critical_difference / 2
        ranks = ranking.found.ranks
        axes.axvspan(ranks[0] - half, ranks[0] + half, color=INK, alpha=0.07, linewidth=0)
        for place, (method, rank) in enumerate(zip(ranking.methods, ranks.tolist(), strict=True)):
            color = styles.color(method)
            axes.plot([rank - half, rank + half], [place, place], color=color, linewidth=2.5, solid_capstyle="butt")
            axes.plot(rank, place, "o", color=color, markersize=6.5)
        axes.set_yticks(range(len(ranking.methods)), ranking.methods)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xticks(range(1, len(ranks) + 1, 1 + len(ranks) // 12))
        axes.set_xlabel("average rank (1 is best)")
        axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
        return inline_svg(figure, f"Average ranks, {REGION_TITLES[ranking.region]}: {', '.join(ranking.methods)}")
