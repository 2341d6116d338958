"""The first screen of a report: what happened to the rare labels."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from conr.report.aggregate import DatasetRuns, Spread, region_spans
from conr.report.choice import BEFORE, trade_off_picture
from conr.report.pictures import error_picture
from conr.report.style import BASELINE_COLOR, MethodStyles, Picture
from conr.report.summary import headline_metric, shown_decimals, unit_of
from conr.report.tables import Entry, TextTable, join_words, number_text, seeds_text, signed_text
from conr.runs.choice import read_choice

MOST_ANSWERED = 4
"""Datasets of a page that has such a screen; with more, its tables come first."""

_RARE, _COMMON = "Rare labels", "Common labels"
_REGIONS = ("few", "median", "many")  # from rare to common
_MOST_SPANS, _MOSTLY = 2, 0.8
_CHOICE_COLOR = "#1f83cb"


class Bar(NamedTuple):
    """An error as a bar."""

    name: str  # of the model
    text: str  # the error
    share: float  # of the longest bar of the answer, in percent
    color: str


class Line(NamedTuple):
    """Errors of some labels, before and after."""

    title: str  # "Rare labels"
    detail: str  # which these are
    bars: tuple[Bar, ...]
    change: str  # in percent; empty if there is nothing to compare
    verdict: str  # "better", "worse" or ""


class Answer(NamedTuple):
    """Changes of the errors on rare and on common labels of a dataset, in a sentence, bars and a picture."""

    title: str
    about: str  # what the dataset is; may be empty
    sentence: str
    lines: tuple[Line, ...]
    note: str  # what the numbers are
    picture: Picture | None


def answers_table(groups: Sequence[DatasetRuns]) -> TextTable:
    """The answers as a table: a part per dataset, a row per model, and below an error its change."""
    parts = []
    for dataset, answer in find_answers(groups, MethodStyles(groups)).items():
        rows: list[list[Entry | str]] = []
        for position, bars in enumerate(zip(*(line.bars for line in answer.lines), strict=True)):
            entries = [
                Entry(bar.text, line.change, verdict=line.verdict) if position else Entry(bar.text)
                for bar, line in zip(bars, answer.lines, strict=True)
            ]
            rows.append([bars[0].name, *entries])
        parts.append((dataset, rows))
    return TextTable.of("What happened to the rare labels", ("error", _RARE, _COMMON), parts=parts)


class _Side(NamedTuple):
    """One of the two models that an answer compares."""

    name: str
    color: str
    errors: Mapping[str, Spread]  # by shot region


def find_answers(
    groups: Sequence[DatasetRuns], styles: MethodStyles, about: Mapping[str, str] | None = None
) -> dict[str, Answer]:
    """The answers of a page by dataset; without those that have no error over rare or over common labels.

    Rare labels are few-shot. Common ones are many-shot, or median-shot where a table is too small for many-shot ones.
    Where a dataset has several methods, the baseline is compared with the one that is best on rare labels; a single
    model that chose among candidates is compared with boosting.

    Args:
        groups: all datasets of the page.
        styles: colours of the methods.
        about: a sentence on each dataset by name, if there is one.

    Raises:
        ValueError: a damaged ``choice.json``.
    """
    if len(groups) > MOST_ANSWERED:
        return {}
    found = {group.dataset: _answer(group, styles, (about or {}).get(group.dataset, "")) for group in groups}
    return {dataset: answer for dataset, answer in found.items() if answer is not None}


def _answer(group: DatasetRuns, styles: MethodStyles, about: str) -> Answer | None:
    metric = headline_metric(group)
    if metric.higher_is_better:
        return None
    sides, note, picture = _sides(group, styles)
    known = [region for region in _REGIONS if np.isfinite([side.errors[region].mean for side in sides]).all()]
    if len(known) < 2 or "few" not in known:
        return None
    titles = {"few": _RARE, known[-1]: _COMMON}
    errors = [side.errors[region].mean for side in sides for region in titles]
    decimals, unit = shown_decimals(metric, errors), unit_of(metric, group)

    def text(error: float) -> str:
        return f"{number_text(error, decimals)} {unit}".strip()

    lines = tuple(
        _line(group, region, title, sides, text=text, longest=max(errors) or 1.0) for region, title in titles.items()
    )
    title = f"{group.dataset}: {sides[-1].name}"
    if len(sides) == 1:
        few, many = (line.bars[0].text for line in lines)
        sentence = f"Rare labels are missed by {few}, common ones by {many}."
    else:
        title += f" instead of {sides[0].name}"
        few, many = (_movement(line) for line in lines)
        sentence = f"The error on rare labels {few}, on common ones it {many}."
    return Answer(title, about, sentence, lines, f"{metric.title}, lower is better; {note}", picture)


def _sides(group: DatasetRuns, styles: MethodStyles) -> tuple[list[_Side], str, Picture | None]:
    """The models to compare, what their numbers are, and the picture of the comparison."""
    runs = next(iter(group.methods.values()))
    choice = read_choice(runs[0].folder) if len(group.methods) == len(runs) == 1 else None
    rows = {} if choice is None else {row["name"]: row for row in choice["leaderboard"]}
    if choice is not None and BEFORE in rows and len(rows) > 1:
        before, after = rows[BEFORE], choice["leaderboard"][0]
        names = "boosting", "RareRegressor"
        sides = [
            _Side(name, color, {region: _one(row[region]) for region in _REGIONS})
            for name, color, row in zip(names, (BASELINE_COLOR, _CHOICE_COLOR), (before, after), strict=True)
        ]
        drawn = _drawn(trade_off_picture(choice, group.first.label["unit"]))
        return sides, "on training rows that the model in question has not seen.", drawn
    name = headline_metric(group).name
    shown = [row for row in group.rows if row.method in group.highlighted]
    sides = [
        _Side(row.method, styles.color(row.method), {region: row.metrics[region][name] for region in _REGIONS})
        for row in shown
    ]
    seeds = {row.seeds for row in shown}
    note = f"on the test split, means of {seeds_text(max(seeds))}."
    if seeds == {1}:
        note = "on the test split. One seed: how much of a difference is chance is unknown."
    drawn = _drawn(error_picture(group, group.highlighted, styles)) if len(group.edges) == 1 else None
    return sides, note, drawn


def _drawn(picture: Picture) -> Picture | None:
    """A picture, None if it says why there is none, which belongs further down."""
    return picture if picture.svg else None


def _line(
    group: DatasetRuns, region: str, title: str, sides: Sequence[_Side], *, text: Callable[[float], str], longest: float
) -> Line:
    errors = [side.errors[region] for side in sides]
    bars = tuple(
        Bar(side.name, text(one.mean), 100 * one.mean / longest, side.color)
        for side, one in zip(sides, errors, strict=True)
    )
    change, verdict = "", ""
    if len(errors) > 1 and errors[0].mean:
        before, after = errors
        change = f"{signed_text(100 * (after.mean / before.mean - 1), 0)} %"
        # NaN for a single seed or a single choice, which is within nothing.
        if abs(after.mean - before.mean) > np.nan_to_num(np.hypot(before.std, after.std)):
            verdict = "better" if after.mean < before.mean else "worse"
    return Line(title, _which(group, region), bars, change, verdict)


def _movement(line: Line) -> str:
    if line.change[:1] not in "+\N{MINUS SIGN}":
        return "stays the same"
    size = line.change[1:]
    within = "" if line.verdict else " (within the spread of seeds)"
    return f"{'rises' if line.change[0] == '+' else 'falls'} by {size}{within}"


def _which(group: DatasetRuns, region: str) -> str:
    """The labels of a region in words: where they are, and how many of the training samples they have."""
    bins = group.first.bins
    inside = np.asarray(bins["regions"]) == region
    counts = np.asarray(bins["train_counts"])
    share = f"{counts[inside].sum() / counts.sum():.0%} of training"
    name = group.first.label["name"]
    spans = [(low, high) for low, high, one in region_spans(group) if one == region] if len(group.edges) == 1 else []
    if not spans:
        return f"{inside.sum()} of {len(inside)} label bins, {share}"
    first, last = np.flatnonzero(inside)[[0, -1]]
    low, high = spans[0][0], spans[-1][1]
    if inside[first : last + 1].mean() >= _MOSTLY:
        return f"{'mostly ' if len(spans) > 1 else ''}{name} {low:g} to {high:g}, {share}"
    if len(spans) > _MOST_SPANS:
        return f"{len(spans)} ranges of {name} between {low:g} and {high:g}, {share}"
    return f"{name} {join_words([f'{low:g} to {high:g}' for low, high in spans])}, {share}"


def _one(value: float | None) -> Spread:
    mean = float("nan") if value is None else value
    return Spread(mean, float("nan"), mean, mean, 1)
