"""Whether a run that is there already is the one that was asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from conr.runs.folder import CONFIG, read_config

Difference = tuple[str, Any, Any]
"""Name of a setting, its value in the run, and the value asked for."""


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
        if not _is_same(value := _at(found, name.split(".")), wanted)
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
    elif not _is_same(found, wanted):
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
