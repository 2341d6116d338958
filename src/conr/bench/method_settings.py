"""Settings that belong to a method on a dataset, from a file, so that a grid can compare methods as tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from conr._checks import check_choice
from conr.bench.baselines import is_baseline
from conr.bench.grid import Task
from conr.methods.presets import method_names

MethodSettings = dict[str, dict[str, dict[str, Any]]]
"""Dataset -> method or mix -> name of a setting -> value."""

EVERY = "*"
"""Stands for all methods of a dataset, in place of a method."""

_ALLOWED = ("model", "trainer")


def read_method_settings(path: Path) -> MethodSettings:
    """Read settings by dataset and method.

    Args:
        path: a YAML file ``DATASET: {METHOD: {NAME: VALUE}}``; datasets are named as in results, settings as they are
            typed, such as ``model.regularizers.conr.coefficient``. The method ``*`` stands for all of a dataset.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another form, or a setting that is not of the model or the trainer.
    """
    if not path.is_file():
        raise FileNotFoundError(f"settings: expected a file, found no file {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"settings: {path}: expected YAML: {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(methods, dict) and all(isinstance(one, dict) for one in methods.values())
        for methods in content.values()
    ):
        raise ValueError(f"settings: {path}: expected DATASET: {{METHOD: {{NAME: VALUE}}}}")
    for dataset, methods in content.items():
        for method, settings in methods.items():
            for name in settings:
                if str(name).partition(".")[0] not in _ALLOWED:
                    raise ValueError(
                        f"settings: {path}: {dataset}: {method}: expected names that begin with model. or trainer., "
                        f"got {name!r}"
                    )
    return content


def with_method_settings(tasks: Sequence[Task], settings: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Task]:
    """Give each task the settings of all methods, then those of each part of its mix, then of the mix itself.

    Args:
        tasks: of a grid.
        settings: of `read_method_settings`. Datasets that no task has are left aside.

    Raises:
        ValueError: none of the tasks' datasets is there, or a method that its dataset does not have.
    """
    titles = {task.title: task.dataset for task in tasks}
    if not any(title in settings for title in titles):
        raise ValueError(
            f"settings: expected some for {', '.join(titles)}, got them for {', '.join(settings) or 'nothing'}"
        )
    for title in titles.keys() & settings.keys():
        for mix in settings[title]:
            for method in mix.split("+") if mix != EVERY else ():
                check_choice(f"settings: {title}: method", method, method_names(titles[title]))
    return [replace(task, options=(*task.options, *_of(task, settings.get(task.title, {})))) for task in tasks]


def _of(task: Task, settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    if is_baseline(task.method):
        return []
    parts = task.method.split("+")
    found: dict[str, Any] = {}
    for name in (EVERY, *parts, task.method):
        found |= settings.get(name, {})
    return list(found.items())
