"""What a setting of ConR does: runs that differ from a preset in one value, and their numbers."""

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from conr._checks import check_choice
from conr.bench.datasets import GridDataset
from conr.bench.grid import Task, grid_tasks
from conr.data.views import VIEW_MODES
from conr.density.regions import GROUPS
from conr.losses import ConRLoss
from conr.methods.presets import preset_config
from conr.pairwise import PUSHES
from conr.report.aggregate import Spread, spread
from conr.runs.atomic import write_text
from conr.runs.results import RESULT, RunResult

SCHEMA = "conr.ablation/1"
NUMBERS = "ablation.json"

Value = float | str


class Factor(NamedTuple):
    """A setting that can be varied.

    Attributes:
        setting: its name with dots in the configuration.
        title: as an axis is titled.
        words: the values it may have, None for numbers.
    """

    setting: str
    title: str
    words: tuple[str, ...] | None = None


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
"""By the name that is typed."""


class Point(NamedTuple):
    """One value of a factor.

    Attributes:
        value: of the setting.
        is_preset: whether it is the preset's own.
        errors: by region ("all", "many", "median", "few"), the headline metric over seeds.
    """

    value: Value
    is_preset: bool
    errors: dict[str, Spread]


@dataclass(frozen=True)
class Ablation:
    """The numbers of an ablation; the content of ``ablation.json``.

    Args:
        dataset: its name.
        method: the preset's method, from which all runs differ in one value.
        metric: what is measured on the test split.
        unit: of the label.
        factors: by name, the points in the order of their values.
    """

    dataset: str
    method: str
    metric: str
    unit: str
    factors: dict[str, list[Point]]

    def write(self, folder: Path) -> Path:
        """Write ``ablation.json``, complete or not at all; NaN is written as null."""
        content = {"schema": SCHEMA, **asdict(self)}
        content["factors"] = {
            name: [
                {
                    "value": point.value,
                    "is_preset": point.is_preset,
                    "errors": {region: _finite(error._asdict()) for region, error in point.errors.items()},
                }
                for point in points
            ]
            for name, points in self.factors.items()
        }
        text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
        folder.mkdir(parents=True, exist_ok=True)
        return write_text(folder / NUMBERS, f"{text}\n")


Plan = dict[str, dict[Value, list[Task]]]
"""By factor and value, the tasks of all seeds; the preset's own value is always among them."""


def read_factors(words: Sequence[str]) -> dict[str, list[Value]]:
    """Factors with their values as typed, ``window=0.5,1,2``.

    Raises:
        ValueError: an unknown factor or value (the message names the nearest), a number that is none, a factor twice.
    """
    factors: dict[str, list[Value]] = {}
    for word in words:
        name, _, values = word.partition("=")
        check_choice("grid", name, FACTORS)
        if name in factors:
            raise ValueError(f"grid: expected each factor once, got {name} twice")
        factors[name] = [_value(name, value) for value in values.split(",")]
    return factors


def ablation_tasks(dataset: GridDataset, method: str, factors: Mapping[str, Sequence[Value]], seeds: int) -> Plan:
    """The runs of an ablation, one factor at a time: each differs from the preset in one value.

    Args:
        dataset: where.
        method: a method with ConR, alone or joined with others.
        factors: values by the names in ``FACTORS``. The preset's own value joins them: its runs are shared by all.
        seeds: runs of each value.

    Raises:
        ValueError: an unknown method, or one without ConR.
    """
    config = config_with_conr(dataset, method)
    base = grid_tasks([dataset], [method], seeds)
    plan: Plan = {}
    for name, values in factors.items():
        preset = preset_value(name, config)
        plan[name] = {
            value: base if value == preset else [_changed(task, name, value) for task in base]
            for value in dict.fromkeys(sorted([*values, preset], key=_place(name)))
        }
    return plan


def config_with_conr(dataset: GridDataset, method: str) -> dict[str, Any]:
    """The configuration of a preset that has ConR.

    Raises:
        ValueError: an unknown method, or one without ConR.
    """
    config = preset_config(f"{dataset.preset}-{method}")
    term = config["model"].get("regularizers", {}).get("conr")
    if term is None or term["loss"]["class_path"].rpartition(".")[2] != ConRLoss.__name__:
        raise ValueError(
            f"method: expected one with ConR, such as conr or sqinv+conr, got {method!r} on {dataset.name}"
        )
    return config


def all_tasks(plan: Plan) -> list[Task]:
    """Each task of an ablation once, seed by seed, so that one that is stopped early has compared all values."""
    tasks = dict.fromkeys(task for values in plan.values() for runs in values.values() for task in runs)
    return sorted(tasks, key=lambda task: task.seed)


def measure(plan: Plan, folders: Mapping[Task, Path]) -> Ablation:
    """Read the results of an ablation; runs that failed do not count.

    Args:
        plan: of `ablation_tasks`.
        folders: of the tasks, as `conr.bench.run_grid` gives them.

    Raises:
        FileNotFoundError: no task has a result.
    """
    results = {task: RunResult.read(folder) for task, folder in folders.items() if (folder / RESULT).is_file()}
    if not results:
        raise FileNotFoundError("expected at least one run with a result, got none: all of them failed")
    first = next(iter(results.values()))
    factors = {}
    for name, values in plan.items():
        factors[name] = [
            Point(
                value,
                is_preset=all(not task.variant for task in tasks),
                errors={
                    region: spread(results[task].metrics[region][first.headline] for task in tasks if task in results)
                    for region in GROUPS
                },
            )
            for value, tasks in values.items()
        ]
    return Ablation(first.dataset, next(iter(folders)).method, first.headline, first.label["unit"], factors)


def _changed(task: Task, name: str, value: Value) -> Task:
    text = value if isinstance(value, str) else f"{value:g}"
    return Task(task.dataset, task.method, task.seed, (*task.options, (FACTORS[name].setting, value)), f"{name}={text}")


def _value(name: str, text: str) -> Value:
    words = FACTORS[name].words
    if words is not None:
        check_choice(name, text, words)
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"grid: expected numbers, as in {name}=0.5,1,2, got {text!r} for {name}")
    return number


def preset_value(name: str, config: Mapping[str, Any]) -> Value:
    """The value that a factor has in a preset.

    Args:
        name: of ``FACTORS``.
        config: of a preset with ConR.
    """
    value: Any = config
    for part in FACTORS[name].setting.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:  # the preset leaves it to the class
        value = inspect.signature(ConRLoss).parameters[FACTORS[name].setting.rpartition(".")[2]].default
    return value if isinstance(value, str) else float(value)


def _place(name: str) -> Callable[[Value], Any]:
    words = FACTORS[name].words
    return (lambda value: value) if words is None else (lambda value: words.index(str(value)))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
