"""Test errors over the values of each varied setting, as numbers, pictures and one HTML page."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from conr.bench.factors import AXES, Value, preset_value
from conr.bench.tasks import Task
from conr.density.regions import GROUPS
from conr.report.aggregate import Spread, spread
from conr.report.style import REGION_COLORS, Picture, name_powers, page_picture, write_page, write_png
from conr.report.tables import REGION_TITLES, TextTable, number_text, with_unit
from conr.runs.atomic import write_text
from conr.runs.folder import read_config
from conr.runs.results import RESULT, RunResult

PAGE, NUMBERS = "ablation.html", "ablation.json"
SCHEMA = "conr.ablation/1"
SHOWN = {"few": ("few-shot", REGION_COLORS["few"], "-"), "all": ("all", "#1f83cb", "--")}
_LOG_FROM = 8  # from this ratio of the largest to the smallest value on, their axis is logarithmic


class Point(NamedTuple):
    """One value of a setting."""

    value: Value  # of the setting
    is_preset: bool  # whether it is the preset's own
    errors: dict[str, Spread]  # by region ("all", "many", "median", "few"), the headline metric over seeds


@dataclass(frozen=True)
class Ablation:
    """The numbers of a varied preset; the content of ``ablation.json``.

    Attributes:
        dataset: its name.
        method: the preset's method, from which all runs differ in one value.
        metric: of the test split.
        unit: of the label.
        factors: by the names in ``AXES``, the points in the order of their values.
    """

    dataset: str
    method: str
    metric: str
    unit: str
    factors: dict[str, list[Point]]


def measure(tasks: Sequence[Task], folders: Sequence[Path]) -> list[Ablation]:
    """Read the results of varied presets, one after the other; runs without a result do not count.

    Args:
        tasks: of `with_grid`.
        folders: of the tasks, as `run_grid` gives them.
    """
    done = [_Run(*run) for run in zip(tasks, folders, strict=True) if (run[1] / RESULT).is_file()]
    return [
        _measured([run for run in done if (run.task.title, run.task.method) == (dataset, method)])
        for dataset, method in dict.fromkeys((run.task.title, run.task.method) for run in done if run.task.variant)
    ]


class _Run(NamedTuple):
    task: Task
    folder: Path


def _measured(runs: Sequence[_Run]) -> Ablation:
    results = [RunResult.read(run.folder) for run in runs]
    metric = results[0].headline
    points: dict[str, dict[Value, list[RunResult]]] = {}
    for run, result in zip(runs, results, strict=True):
        if run.task.variant:
            name = run.task.variant.partition("=")[0]
            points.setdefault(name, {}).setdefault(run.task.options[-1][1], []).append(result)
    own = [run for run in runs if not run.task.variant]
    factors = {}
    for name, by_value in points.items():
        words = AXES[name].words
        found = [_point(value, alike, metric) for value, alike in by_value.items()]
        # As it was in the runs: what follows from the labels may differ between splits.
        values = [preset_value(name, read_config(run.folder)) for run in own]
        numbers = [value for value in values if isinstance(value, float)]
        if own and (words or numbers):
            alike = [result for run, result in zip(runs, results, strict=True) if not run.task.variant]
            found.append(_point(values[0] if words else fmean(numbers), alike, metric, is_preset=True))
        factors[name] = sorted(found, key=lambda point: words.index(str(point.value)) if words else point.value)
    return Ablation(runs[0].task.title, runs[0].task.method, metric, results[0].label["unit"], factors)


def _point(value: Value, results: Sequence[RunResult], metric: str, *, is_preset: bool = False) -> Point:
    errors = {region: spread(result.metrics[region][metric] for result in results) for region in GROUPS}
    return Point(value, is_preset, errors)


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
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_finite({"schema": SCHEMA, **asdict(ablation)}), indent=1, allow_nan=False, ensure_ascii=False)
    numbers = write_text(folder / NUMBERS, f"{text}\n")
    draws = {name: partial(_draw, ablation, name, points) for name, points in ablation.factors.items()}
    images = [write_png(folder / f"{name}.png", draw) for name, draw in draws.items()]
    page = write_page(
        folder / PAGE,
        "ablation.html.j2",
        ablation=ablation,
        metric=_metric(ablation),
        colors={},
        sections=[(_picture(ablation, *drawn), _table(drawn[0], ablation)) for drawn in draws.items()],
    )
    return [page, numbers, *images]


def _picture(ablation: Ablation, name: str, draw: Callable[[Figure], None]) -> Picture:
    return page_picture("", "", f"Test {_metric(ablation)} over {AXES[name].title}", draw)


def _draw(ablation: Ablation, name: str, points: Sequence[Point], figure: Figure) -> None:
    axes = figure.subplots()
    numbers = [point.value for point in points if isinstance(point.value, float)]
    are_words = len(numbers) != len(points)
    position = np.arange(len(points), dtype=np.float64) if are_words else np.asarray(numbers)
    for region, (title, color, line) in SHOWN.items():
        errors = [point.errors[region] for point in points]
        mean, low, high = (np.asarray([getattr(error, part) for error in errors]) for part in ("mean", "low", "high"))
        if are_words:
            reach = [mean - low, high - mean]
            axes.errorbar(position, mean, reach, fmt="o", color=color, capsize=3, markersize=5, label=title)
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
    axes.set(xlabel=AXES[name].title, ylabel=_metric(ablation))
    axes.legend()


def _metric(ablation: Ablation) -> str:
    return with_unit(ablation.metric.upper(), ablation.unit)


def _table(name: str, ablation: Ablation) -> TextTable:
    rows = []
    for point in ablation.factors[name]:
        value = point.value if isinstance(point.value, str) else f"{point.value:g}"
        cells = [_cell(point.errors[region]) for region in GROUPS]
        rows.append([f"{value} (preset)" if point.is_preset else value, str(point.errors["all"].seeds), *cells])
    return TextTable.of("", (AXES[name].title, "seeds", *(REGION_TITLES[region] for region in GROUPS)), rows)


def _cell(error: Spread) -> str:
    deviation = "" if math.isnan(error.std) else f" ± {number_text(error.std, 2)}"
    return f"{number_text(error.mean, 2)}{deviation}"


def _finite(content: Any) -> Any:
    """JSON with null for NaN."""
    if isinstance(content, Point | Spread):
        content = content._asdict()
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
