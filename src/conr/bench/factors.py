"""Settings that ``conr bench --grid`` varies and ``conr tune`` searches, by the short names that are typed."""

import inspect
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from conr._auto import AUTO
from conr._checks import check_choice
from conr.bench.baselines import is_baseline
from conr.bench.datasets import GridDataset
from conr.bench.tasks import Task, grid_tasks
from conr.data.views import VIEW_MODES
from conr.density import LabelDensity
from conr.density.suggestions import automatic_settings
from conr.losses import L1, MSE, ConRLoss
from conr.methods import LabelScale
from conr.methods.automatic import put_numbers_in
from conr.methods.presets import preset_config
from conr.pairwise import PUSHES
from conr.training.options import planned_data

Value = float | str


class Factor(NamedTuple):
    """A setting that can be varied."""

    setting: str  # its name with dots in the configuration
    title: str  # as an axis is titled
    words: tuple[str, ...] | None = None  # the values it may have, None for numbers


_TERM = "model.regularizers.conr"
_LOSS = f"{_TERM}.loss.init_args"

FACTORS = {
    "window": Factor(f"{_LOSS}.window", "window"),
    "temperature": Factor(f"{_LOSS}.temperature", "temperature"),
    "beta": Factor(f"{_TERM}.coefficient", "coefficient (beta)"),
    "distance_scale": Factor(f"{_LOSS}.distance_scale", "distance scale"),
    "views": Factor("model.view_mode", "views", tuple(VIEW_MODES)),
    "push": Factor(f"{_LOSS}.push", "form of the push", tuple(PUSHES)),
}
"""Settings of ConR, by the name that is typed."""

_DENSITY = "model.criterion_density"
_POWER_OF = {"sqrt_inverse": 0.5, "inverse": 1.0}

AXES = FACTORS | {
    "power": Factor(f"{_DENSITY}.init_args.power", "power of the counts in the weights"),
    "sampling": Factor("sampling_power", "power of balanced sampling"),
}
"""Axes of a grid: settings of ConR, and the strengths of weights by counts and of balanced sampling."""

_BESIDE = {"power": ((f"{_DENSITY}.init_args.scheme", "power"),)}
_NEEDS = {
    "power": "weights by counts, such as sqinv or lds+conr",
    "sampling": "balanced sampling, such as balanced-sampling+conr",
}

WEIGHTS = "weights"
UNWEIGHTED = "none"
_SEARCHED = {"window": (1 / 4, 4), "beta": (1 / 10, 10), "temperature": (1 / 3, 5)}
_WEIGHTED = ("L1", "MSE", "Huber")  # criteria that are used with and without weights


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, searched on a logarithmic scale."""

    low: float
    high: float


class Choices(NamedTuple):
    """Some values."""

    values: tuple[Value, ...]


Grid = Mapping[str, tuple[Value, ...]]  # values to try, by the names in `AXES`
Space = dict[str, Range | Choices]  # by the names in `FACTORS`, and `weights`


def read_grid(words: Sequence[str]) -> Grid:
    """A grid as typed: ``window=0.5,1,2 push=linear``.

    Raises:
        ValueError: an unknown name or value (the message names the nearest), a number that is none, a name twice.
    """
    return {name: _values("grid", name, text) for name, text in _named("grid", words, AXES)}


def read_space(words: Sequence[str]) -> Space:
    """A space as typed: ``window=0.5..4 temperature=0.07,0.1 weights=none,sqinv``.

    Raises:
        ValueError: as `read_grid`, and a range that is none.
    """
    space: Space = {}
    for name, text in _named("space", words, (*FACTORS, WEIGHTS)):
        low, dots, high = text.partition("..")
        space[name] = _range(name, low, high) if dots else Choices(_values("space", name, text))
    return space


def with_grid(tasks: Sequence[Task], grid: Grid) -> list[Task]:
    """Add to each task those that differ from it in one of the grid's values, of the settings that its method has.

    Args:
        tasks: runs of a grid.
        grid: values of each setting.

    Raises:
        ValueError: no task has one of the settings.
    """
    configs = [None if is_baseline(task.method) else preset_config(task.preset) for task in tasks]
    for name in grid:
        if not any(config is not None and _varies(name, config) for config in configs):
            methods = ", ".join(dict.fromkeys(task.method for task in tasks))
            needed = _NEEDS.get(name, "ConR, such as conr or sqinv+conr")
            raise ValueError(f"grid: expected a method with {needed}, got {methods}")
    return [
        one
        for task, config in zip(tasks, configs, strict=True)
        for one in (task, *(_variants(task, config, grid) if config is not None else ()))
    ]


def _variants(task: Task, config: Mapping[str, Any], grid: Grid) -> Iterator[Task]:
    for name, values in grid.items():
        for value in dict.fromkeys(values) if _varies(name, config) else ():
            if value != preset_value(name, config):
                text = value if isinstance(value, str) else f"{value:g}"
                options = (*task.options, *_BESIDE.get(name, ()), (AXES[name].setting, value))
                yield replace(task, options=options, variant=f"{name}={text}")


def _varies(name: str, config: Mapping[str, Any]) -> bool:
    """Tell if a preset has a setting."""
    if name == "sampling":
        return "sampling_power" in config
    if name == "power":
        density = config["model"].get("criterion_density") or {"class_path": ""}
        arguments = density.get("init_args", {})
        is_of_counts = density["class_path"].rpartition(".")[2] == LabelDensity.__name__
        return is_of_counts and arguments.get("scheme") in {*_POWER_OF, "power"} and "clip" not in arguments
    return _has_conr(config)


def config_with_conr(dataset: GridDataset, method: str) -> dict[str, Any]:
    """The configuration of a preset that has ConR, with numbers in the place of "auto".

    Raises:
        ValueError: an unknown method, one without ConR, or a dataset that cannot be read where a setting is "auto".
    """
    config = preset_config(f"{dataset.preset}-{method}")
    if not _has_conr(config):
        raise ValueError(
            f"method: expected one with ConR, such as conr or sqinv+conr, got {method!r} on {dataset.name}"
        )
    if AUTO in {preset_value(name, config) for name in FACTORS}:
        config = put_numbers_in(config, _automatic(dataset, method))
    return config


@cache
def _automatic(dataset: GridDataset, method: str) -> dict[str, float]:
    """The numbers that stand for "auto" when a run of the first seed begins."""
    (task,) = grid_tasks([dataset], [method], 1)
    model, data = preset_config(task.preset)["model"], planned_data(task.arguments)
    labels, bins = data.train_labels(), data.splits.bins
    if model.get("standardise_labels"):
        scale = LabelScale.of(labels)
        labels, bins = scale.standardised(labels), scale.bins(bins)
    criterion = "mse" if _criterion(model) == MSE.__name__ else "l1"
    return automatic_settings(labels, bins, criterion=criterion, batch_size=max(2, data.batch_size))


def _criterion(model: Mapping[str, Any]) -> str:
    name: str = (model.get("criterion") or {}).get("class_path", L1.__name__)
    return name.rpartition(".")[2]


def preset_value(name: str, config: Mapping[str, Any]) -> Value:
    """The value that one of ``AXES`` has in the configuration of a preset or a run that has such a setting."""
    if name == "power" and (scheme := config["model"]["criterion_density"]["init_args"]["scheme"]) in _POWER_OF:
        return _POWER_OF[scheme]
    value: Any = config
    for part in AXES[name].setting.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:  # the preset leaves it to the class
        value = inspect.signature(ConRLoss).parameters[FACTORS[name].setting.rpartition(".")[2]].default
    return value if isinstance(value, str) else float(value)


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
    if config["model"].get("criterion_density") is None and _criterion(config["model"]) in _WEIGHTED:
        space[WEIGHTS] = Choices((UNWEIGHTED, "sqinv", "inv"))
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


def _has_conr(config: Mapping[str, Any]) -> bool:
    term = config["model"].get("regularizers", {}).get("conr")
    return term is not None and term["loss"]["class_path"].rpartition(".")[2] == ConRLoss.__name__


def _named(option: str, words: Sequence[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for word in words:
        name, _, text = word.partition("=")
        check_choice(option, name, known)
        if name in seen:
            raise ValueError(f"{option}: expected each name once, got {name} twice")
        seen.add(name)
        yield name, text


def _values(option: str, name: str, text: str) -> tuple[Value, ...]:
    values = tuple(text.split(","))
    words = () if name == WEIGHTS else AXES[name].words
    if words is None:
        return tuple(_number(option, name, value) for value in values)
    for value in values if words else ():
        check_choice(name, value, words)
    return values


def _range(name: str, low: str, high: str) -> Range:
    found = Range(_number("space", name, low), _number("space", name, high))
    if not 0 < found.low < found.high:
        raise ValueError(f"space: expected LOW..HIGH with 0 < LOW < HIGH, got '{low}..{high}' for {name}")
    return found


def _number(option: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{option}: expected numbers, as in {name}=0.5,1,2, got {text!r} for {name}")
    return number
