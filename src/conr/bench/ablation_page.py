"""An ablation as pictures: error over the value of each factor, as PNG and inside one HTML page."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conr.bench.ablation import FACTORS, Ablation, Point
from conr.density.regions import GROUPS
from conr.report.aggregate import Spread
from conr.report.style import (
    HEIGHT,
    INK_ON_WHITE,
    REGION_COLORS,
    WIDTH,
    drawing,
    name_powers,
    page_picture,
    save_picture,
    write_page,
)

PAGE = "ablation.html"
SHOWN = {"few": ("few-shot", REGION_COLORS["few"], "-"), "all": ("all", "#1f83cb", "--")}
_LOG_FROM = 8  # from this ratio of the largest to the smallest value on, their axis is logarithmic


def write_ablation(ablation: Ablation, folder: Path) -> list[Path]:
    """Write ``ablation.json``, a picture ``FACTOR.png`` per factor, and one page with all of them.

    Args:
        ablation: the numbers.
        folder: where the files go; it is made if needed.

    Returns:
        The page, the numbers and the pictures.

    Raises:
        OSError: a file cannot be written.
    """
    numbers = ablation.write(folder)
    images = [_write_png(ablation, name, points, folder / f"{name}.png") for name, points in ablation.factors.items()]
    page = write_page(
        folder / PAGE,
        "conr.bench",
        "ablation.html.j2",
        ablation=ablation,
        metric=_metric(ablation),
        regions=GROUPS,
        sections=[
            {"title": FACTORS[name].title, "svg": _svg(ablation, name, points), "rows": _rows(points)}
            for name, points in ablation.factors.items()
        ],
    )
    return [page, numbers, *images]


def _write_png(ablation: Ablation, name: str, points: Sequence[Point], path: Path) -> Path:
    with drawing(INK_ON_WHITE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained", facecolor="white")
        _draw(figure.subplots(), ablation, name, points)
        return save_picture(figure, path)


def _svg(ablation: Ablation, name: str, points: Sequence[Point]) -> str | None:
    title = f"Test {_metric(ablation)} over {FACTORS[name].title}"
    return page_picture("", "", title, lambda figure: _draw(figure.subplots(), ablation, name, points)).svg


def _draw(axes: Axes, ablation: Ablation, name: str, points: Sequence[Point]) -> None:
    numbers = [point.value for point in points if isinstance(point.value, float)]
    are_words = len(numbers) != len(points)
    position = np.arange(len(points), dtype=np.float64) if are_words else np.asarray(numbers)
    for region, (title, color, line) in SHOWN.items():
        errors = [point.errors[region] for point in points]
        mean, low, high = (np.asarray([getattr(error, part) for error in errors]) for part in ("mean", "low", "high"))
        if are_words:
            axes.errorbar(
                position,
                mean,
                yerr=[mean - low, high - mean],
                fmt="o",
                color=color,
                capsize=3,
                markersize=5,
                label=title,
            )
        else:
            axes.plot(position, mean, line, color=color, marker="o", markersize=4, linewidth=1.8, label=title)
            axes.fill_between(position, low, high, color=color, alpha=0.22, linewidth=0)
    for place, point in zip(position, points, strict=True):
        if point.is_preset:
            axes.axvline(place, color=axes.xaxis.label.get_color(), linewidth=0.8, linestyle=":", alpha=0.7, zorder=0)
    if are_words:
        axes.set_xticks(position, [str(point.value) for point in points])
        axes.margins(x=0.25)
    elif position.min() > 0 and position.max() >= _LOG_FROM * position.min():
        axes.set_xscale("log")
        name_powers(axes.xaxis)
    axes.set(xlabel=FACTORS[name].title, ylabel=_metric(ablation))
    axes.legend()


def _metric(ablation: Ablation) -> str:
    return f"{ablation.metric.upper()} ({ablation.unit})" if ablation.unit else ablation.metric.upper()


def _rows(points: Sequence[Point]) -> list[dict[str, object]]:
    return [
        {
            "value": point.value if isinstance(point.value, str) else f"{point.value:g}",
            "is_preset": point.is_preset,
            "seeds": point.errors["all"].seeds,
            "cells": [_cell(point.errors[region]) for region in GROUPS],
        }
        for point in points
    ]


def _cell(error: Spread) -> str:
    if math.isnan(error.mean):
        return "\N{EN DASH}"
    spread = "" if math.isnan(error.std) else f" ± {error.std:.2f}"
    return f"{error.mean:.2f}{spread}"
