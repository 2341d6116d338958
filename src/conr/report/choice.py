"""The part of the report about a model that chose among candidates: leaderboard, trade-off, intervals."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from conr.density.regions import GROUPS
from conr.rare.tradeoff import draw_tradeoff, limit_names
from conr.report.style import BASELINE_COLOR, Picture, page_picture
from conr.report.tables import NOTHING, REGION_TITLES, Entry, TextTable, significant_text
from conr.runs.choice import read_choice
from conr.runs.runs import Run

BEFORE = "hgb"
"""The candidate that knows nothing of rarity: boosting without weights."""

_ERRORS = {**REGION_TITLES, "bmae": "balanced"}


def choice_parts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Tables and picture of each run that chose among candidates.

    Raises:
        ValueError: a damaged file; the message names it.
    """
    found = ((run, read_choice(run.folder)) for run in runs)
    return [
        {
            "title": f"What {run.result.method} chose"
            + ("" if run.result.seed is None or len(runs) == 1 else f", seed {run.result.seed}"),
            "leaderboard": _leaderboard(choice),
            "intervals": _intervals(choice),
            "pictures": [trade_off_picture(choice, run.result.label["unit"])],
        }
        for run, choice in found
        if choice is not None
    ]


def _leaderboard(choice: Mapping[str, Any]) -> TextTable:
    """Candidates as they are, and those in the blend."""
    rows = choice["leaderboard"]
    shown = [row for row in rows if row["weight"] > 0 or ">" not in row["name"]]
    best = {name: min((row[name] for row in shown if row[name] is not None), default=None) for name in _ERRORS}
    hidden = len(rows) - len(shown)
    notes = [f"{hidden} corrected candidates without weight are not shown."] if hidden else []
    if choice["unfinished"]:
        notes.append(f"Left out, as the fit was stopped or its time was up: {', '.join(choice['unfinished'])}.")
    return TextTable.of(
        "Mean absolute error on training rows that the model in question has not seen, the blend's on rows that did "
        "not choose it; without rows that are alone in their label bin. After > stands the map that corrects "
        "predictions.",
        ("candidate", *_ERRORS.values(), "weight", "seconds"),
        [
            [
                row["name"],
                *(Entry(_text(row[name]), best=row[name] is not None and row[name] == best[name]) for name in _ERRORS),
                f"{row['weight']:.2f}" if row["weight"] else NOTHING,
                f"{row['seconds']:.1f}",
            ]
            for row in shown
        ],
        notes=notes,
    )


def _intervals(choice: Mapping[str, Any]) -> TextTable:
    regions = choice["intervals"]
    return TextTable.of(
        f"Intervals that aim at {100 * choice['coverage']:g} % of each group of labels, on test rows: the share of "
        "labels in them, and their mean width.",
        ("", *REGION_TITLES.values()),
        [
            ["test rows", *(f"{regions[region]['count'] or 0:g}" for region in GROUPS)],
            ["covered", *(_percent(regions[region]["coverage"]) for region in GROUPS)],
            ["mean width", *(_text(regions[region]["width"]) for region in GROUPS)],
        ],
    )


def trade_off_picture(choice: Mapping[str, Any], unit: str) -> Picture:
    """Draw what a smaller error on rare labels costs on common ones: a point per limit, and candidates as they are.

    Args:
        choice: content of ``choice.json``.
        unit: of the label.
    """
    return page_picture(
        "Common against rare labels",
        "Lower left is better. Each ring is a blend that may lose so much on common (many-shot) labels against the "
        "candidate that is best there. All on training rows that the model in question has not seen.",
        "Few-shot error over many-shot error, by the limit on the loss of many-shot labels",
        partial(_draw, choice, unit),
    )


def _draw(choice: Mapping[str, Any], unit: str, figure: Figure) -> None:
    columns = choice["tradeoff"]
    many, few, chosen = columns["many"], columns["few"], columns["chosen"]
    if any(value is None for value in (*many, *few)):
        raise ValueError("the table has no many-shot or no few-shot rows that share their label bin")
    axes = draw_tradeoff(many, few, limit_names(columns["limit"]), figure.subplots())
    color = axes.lines[-1].get_color()
    axes.plot(many[chosen], few[chosen], "o", color=color, markersize=9, label="the model")
    for row in choice["leaderboard"]:
        if row["name"] == BEFORE:
            axes.plot(row["many"], row["few"], "s", color=BASELINE_COLOR, markersize=8, label="boosting")
    axes.legend()
    end = f" in {unit}" if unit else ""
    axes.set(xlabel=f"error on common labels (many-shot MAE{end})", ylabel=f"on rare ones (few-shot MAE{end})")
    axes.margins(0.12)


def _text(value: float | None) -> str:
    return NOTHING if value is None else significant_text(value, 3)


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"
