"""Presets that ship with the package: a name such as ``rotated-digits-sqinv+conr`` is a dataset and a mix of methods.

``configs/datasets/DATASET.yaml`` is the configuration without any method (``vanilla``), ``configs/methods/METHOD.yaml``
what a method adds on any dataset. A dataset's file has four sections more:

- ``units``: numbers in the labels' unit, which methods name as ``$noise_scale``;
- ``methods``: what differs on this dataset from a method's file; ``METHOD+METHOD`` holds for this mix alone, and
  settles where its methods contradict each other. With ``shared_methods: false`` the dataset has no other methods;
- ``without``: methods that cannot work on it;
- ``like``: another dataset, whose file comes first.

Null takes away what an earlier file has.
"""

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

VANILLA = "vanilla"

_FOLDER = Path(__file__).parents[1] / "configs"
_SECTIONS = {"like", "methods", "shared_methods", "units", "without"}


def dataset_names() -> list[str]:
    """Datasets that have presets."""
    return sorted(path.stem for path in _FOLDER.glob("datasets/*.yaml"))


def method_names(dataset: str) -> list[str]:
    """Methods that can be joined with ``+`` on a dataset."""
    content = _dataset(dataset)
    shared = [path.stem for path in _FOLDER.glob("methods/*.yaml")] if content.get("shared_methods", True) else []
    own = [name for name in content.get("methods", {}) if "+" not in name]
    return [VANILLA, *sorted({*shared, *own} - set(content.get("without", ())))]


def preset_names() -> list[str]:
    """All presets of a single method; others join method names with ``+``."""
    return [f"{dataset}-{method}" for dataset in dataset_names() for method in method_names(dataset)]


def preset_config(name: str) -> dict[str, Any]:
    """The configuration that a preset name stands for.

    Args:
        name: ``DATASET-METHOD`` or ``DATASET-METHOD+METHOD+...``.

    Raises:
        ValueError: an unknown dataset or method (the message names the nearest), a method twice or beside ``vanilla``,
            or methods that contradict each other.
    """
    dataset = max((known for known in dataset_names() if name.startswith(f"{known}-")), key=len, default=None)
    if dataset is None:
        raise ValueError(f"preset: expected a file or DATASET-METHOD, got {name!r}{_nearest(name, preset_names())}")
    mix = name.removeprefix(f"{dataset}-")
    content = _dataset(dataset)
    own = content.get("methods", {})
    parts, known = mix.split("+"), method_names(dataset)
    of_mix = next((own[one] for one in own if "+" in one and sorted(one.split("+")) == sorted(parts)), None)
    joined: dict[str, Any] = {}
    earlier: dict[str, dict[str, Any]] = {}
    if VANILLA in parts and len(parts) > 1:
        raise ValueError(f"preset {name!r}: expected {VANILLA!r} alone, as it is training without any method")
    for method in parts:
        if method not in known:
            raise ValueError(
                f"preset: expected a method of {', '.join(known)} on {dataset}, got {method!r}{_nearest(method, known)}"
            )
        if method in earlier:
            raise ValueError(f"preset {name!r}: expected each method once, got {method!r} twice")
        if method != VANILLA:
            shared = _FOLDER / "methods" / f"{method}.yaml"
            fragment = _merge(_read(shared) if shared.is_file() else {}, own.get(method, {}))
            for other, its in earlier.items() if of_mix is None else ():
                _merge(its, fragment, contradiction=f"preset {name!r}: {other!r} and {method!r} contradict each other")
            earlier[method] = fragment
            joined = _merge(joined, fragment)
    base = {key: value for key, value in content.items() if key not in _SECTIONS}
    config = _merge(_merge(_merge(base, joined), of_mix or {}), {"output": {"method": mix}})
    filled: dict[str, Any] = _filled(config, content["units"])
    return filled


@cache
def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def _dataset(name: str) -> dict[str, Any]:
    content = _read(_FOLDER / "datasets" / f"{name}.yaml")
    return _merge(_dataset(content["like"]), content) if "like" in content else content


def _filled(part: Any, units: Mapping[str, Any]) -> Any:
    """A copy with the numbers that ``$NAME`` stands for."""
    if isinstance(part, Mapping):
        return {key: _filled(value, units) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, units) for value in part]
    return units[part[1:]] if isinstance(part, str) and part.startswith("$") else part


def _merge(base: Mapping[str, Any], over: Mapping[str, Any], *, contradiction: str | None = None) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif not isinstance(value, Mapping) or not isinstance(known, Mapping):
            if contradiction and key in merged and known != value:
                raise ValueError(f"{contradiction} in {key!r}: {known!r} and {value!r}")
            merged[key] = value
        elif contradiction or not _other_class(known, value):
            merged[key] = _merge(known, value, contradiction=contradiction)
        else:
            merged[key] = value
    return merged


def _other_class(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    # Arguments of one class say nothing about another.
    return "class_path" in one and "class_path" in two and one["class_path"] != two["class_path"]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
