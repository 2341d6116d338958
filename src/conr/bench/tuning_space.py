"""What `conr tune` searches: ranges of ConR's settings around a preset, and the weights of the criterion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from conr._checks import check_choice
from conr.bench.ablation import FACTORS, Value, config_with_conr, preset_value
from conr.bench.datasets import GridDataset
from conr.bench.grid import Task, grid_tasks

WEIGHTS = "weights"
UNWEIGHTED = "none"
_SEARCHED = {"window": (1 / 4, 4), "beta": (1 / 10, 10), "temperature": (1 / 3, 5)}
_WEIGHTED = ("L1", "MSE", "Huber")  # criteria that are used with and without weights
_WEIGHTS = (UNWEIGHTED, "sqinv", "inv")


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, searched on a logarithmic scale."""

    low: float
    high: float


class Choices(NamedTuple):
    """Some values."""

    values: tuple[Value, ...]


Space = dict[str, Range | Choices]
"""By the names in `conr.bench.FACTORS`, and ``weights``."""


def read_space(words: Sequence[str]) -> Space:
    """A space as typed: ``window=0.5..4 temperature=0.07,0.1 weights=none,sqinv``.

    Raises:
        ValueError: an unknown name or value (the message names the nearest), a range that is none, a name twice.
    """
    space: Space = {}
    for word in words:
        name, _, values = word.partition("=")
        check_choice("space", name, (*FACTORS, WEIGHTS))
        if name in space:
            raise ValueError(f"space: expected each name once, got {name} twice")
        space[name] = _read(name, values)
    return space


def default_space(dataset: GridDataset, method: str) -> Space:
    """Window, beta and temperature around the preset's own values, and the weights unless the method has some.

    Raises:
        ValueError: an unknown method, or one without ConR.
    """
    config = config_with_conr(dataset, method)
    space: Space = {}
    for name, (low, high) in _SEARCHED.items():
        value = float(preset_value(name, config))
        space[name] = Range(float(f"{low * value:.6g}"), float(f"{high * value:.6g}"))
    criterion = (config["model"].get("criterion") or {}).get("class_path", "L1").rpartition(".")[2]
    if config["model"].get("criterion_density") is None and criterion in _WEIGHTED:
        space[WEIGHTS] = Choices(_WEIGHTS)
    return space


def preset_point(dataset: GridDataset, method: str, space: Space) -> dict[str, Value] | None:
    """The preset's own values in a space, None if one of them lies outside."""
    config = config_with_conr(dataset, method)
    point: dict[str, Value] = {}
    for name, part in space.items():
        value: Value = UNWEIGHTED if name == WEIGHTS else preset_value(name, config)
        inside = part.low <= float(value) <= part.high if isinstance(part, Range) else value in part.values
        if not inside:
            return None
        point[name] = value
    return point


def point_tasks(dataset: GridDataset, method: str, point: Mapping[str, Value], number: int, seeds: int) -> list[Task]:
    """The runs of one point: a preset with its weights and settings.

    Args:
        dataset: where.
        method: with ConR.
        point: by name, as `read_space` names them.
        number: of the trial, which its runs are called after.
        seeds: runs.

    Raises:
        ValueError: weights that contradict the method.
    """
    weights = point.get(WEIGHTS, UNWEIGHTED)
    mix = method if weights == UNWEIGHTED else f"{weights}+{method}"
    options = tuple((FACTORS[name].setting, value) for name, value in point.items() if name != WEIGHTS)
    return [
        replace(task, options=(*task.options, *options), variant=f"trial-{number}")
        for task in grid_tasks([dataset], [mix], seeds)
    ]


def check_space(dataset: GridDataset, method: str, space: Space) -> None:
    """Require weights that go with the method, and something to search.

    Raises:
        ValueError: no names, or weights that are unknown or contradict the method.
    """
    if not space:
        raise ValueError("space: expected at least one setting to search, got none")
    chosen = space.get(WEIGHTS)
    for value in chosen.values if isinstance(chosen, Choices) else ():
        point_tasks(dataset, method, {WEIGHTS: value}, 0, 1)


def space_content(space: Space) -> dict[str, Any]:
    """A space as JSON."""
    return {
        name: list(part) if isinstance(part, Range) else {"values": list(part.values)} for name, part in space.items()
    }


def _read(name: str, text: str) -> Range | Choices:
    words = None if name == WEIGHTS else FACTORS[name].words
    if name == WEIGHTS or words is not None:
        values = tuple(text.split(","))
        for value in values if words is not None else ():
            check_choice(name, value, words or ())
        return Choices(values)
    low, dots, high = text.partition("..")
    if dots:
        ends = [_number(name, end) for end in (low, high)]
        if not 0 < ends[0] < ends[1]:
            raise ValueError(f"space: expected LOW..HIGH with 0 < LOW < HIGH, got {text!r} for {name}")
        return Range(*ends)
    return Choices(tuple(_number(name, value) for value in text.split(",")))


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"space: expected numbers, as in {name}=0.5..4 or {name}=0.5,1,2, got {text!r} for {name}")
    return number
