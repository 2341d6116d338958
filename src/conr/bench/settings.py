"""Settings that belong to a method on a dataset, from a file, and those that a run which is there already has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from conr._auto import AUTO
from conr._checks import check_choice
from conr.bench.baselines import is_baseline
from conr.bench.tasks import Task
from conr.methods.presets import method_names
from conr.runs.folder import CONFIG, read_config
from conr.runs.reading import read_yaml

MethodSettings = dict[str, dict[str, dict[str, Any]]]  # dataset -> method or mix -> name of a setting -> value

EVERY = "*"
"""Stands for all methods of a dataset, in place of a method."""

_ALLOWED = ("model", "trainer")

Difference = tuple[str, Any, Any]  # name of a setting, its value in the run, and the value asked for


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
    content = read_yaml(path)
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


def check_settings(folder: Path, options: Mapping[str, Any], preset: Mapping[str, Any]) -> None:
    """Require a run, if there is one, to have these settings.

    Args:
        folder: of the run.
        options: settings by their names with dots, as typed or as values; they go before the preset's.
        preset: what all other settings have to be, as far as it says.

    Raises:
        ValueError: its configuration is damaged, or has another value; the message names folder, setting and both
            values.
    """
    if not (folder / CONFIG).is_file():
        return
    found = read_config(folder)
    given = tuple(f"{_typed(name)}." for name in options)
    differences = [
        (name, value, wanted)
        for name, wanted in options.items()
        if wanted != AUTO and not _is_same(value := _at(found, name.split(".")), wanted)
    ]
    differences += [one for one in _differences(found, preset, "") if not f"{_typed(one[0])}.".startswith(given)]
    for name, value, wanted in differences:
        raise ValueError(
            f"{folder}: expected a run with {name} = {wanted}, got one with {value}: name another folder for these "
            "runs, or remove this one"
        )


def _differences(found: Any, wanted: Any, name: str) -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            yield from _differences(found.get(key), value, f"{name}.{key}".removeprefix("."))
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for position, (inside, value) in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(inside, value, f"{name}.{position}")
    elif name.endswith("class_path"):
        if not _is_same({"class_path": found}, wanted):
            yield name, found, wanted
    elif wanted != AUTO and not _is_same(found, wanted):  # a run keeps the number that it found
        yield name, found, wanted


def _typed(name: str) -> str:
    """The name as it is typed: a class's arguments follow the class."""
    return name.replace(".init_args", "").removesuffix(".class_path")


def _at(config: Any, parts: list[str]) -> Any:
    """The setting of this name; a class's arguments may be named without ``init_args``, as when they are typed."""
    for part in parts:
        if not isinstance(config, Mapping):
            return None
        if part not in config and isinstance(config.get("init_args"), Mapping):
            config = config["init_args"]
        config = config.get(part)
    return config


def _is_same(found: Any, wanted: Any) -> bool:
    if isinstance(found, Mapping) and isinstance(wanted, str):  # a class, with or without its package
        return str(found.get("class_path")).rpartition(".")[2] == wanted.rpartition(".")[2]
    if isinstance(wanted, str) and not isinstance(found, str):
        wanted = yaml.safe_load(wanted)
    if found == wanted:
        return True
    try:
        return float(found) == float(wanted)  # YAML takes 1e-3 for a word
    except (TypeError, ValueError):
        return False
