"""Presets that ship with the package: a name such as ``rotated-digits-sqinv+conr`` is a dataset and a mix of methods.

The dataset's ``base.yaml`` comes first, then a fragment per method: the dataset's own ``METHOD.yaml`` if it has one,
else ``methods/METHOD.yaml``. A mix that a dataset has settings of its own for, ``METHOD+METHOD.yaml``, gets these last.
``vanilla`` is the dataset without any method. A dataset with dense labels has its own fragments only, as most methods
compare every row of a batch with every other, and its rows are pixels. Methods that cannot work on a dataset are not
among its own.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent
_METHODS = "methods"
VANILLA = "vanilla"
DENSE = ("nyud2-dir",)
_NOT_FOR = {
    "mpiigaze-dir": {"hca", "srl"},  # need an order of bins, which labels of two dimensions do not have
    "sts-b-dir-bilstm": {"vir"},  # whose layer for the variances of 12000 features has their square of parameters
}


def dataset_names() -> list[str]:
    """Datasets that have presets."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/base.yaml"))


def method_names(dataset: str) -> list[str]:
    """Methods that can be joined with ``+`` on a dataset."""
    shared = [] if dataset in DENSE else _FOLDER.glob(f"{_METHODS}/*.yaml")
    fragments = [*shared, *_FOLDER.glob(f"{dataset}/*.yaml")]
    unfit = {"base"} | _NOT_FOR.get(dataset, set())
    return [VANILLA, *sorted({path.stem for path in fragments if "+" not in path.stem} - unfit)]


def preset_names() -> list[str]:
    """All presets of a single method; others join method names with ``+``."""
    return [f"{dataset}-{method}" for dataset in dataset_names() for method in method_names(dataset)]


def preset_config(name: str) -> dict[str, Any]:
    """The configuration that a preset name stands for.

    Args:
        name: ``DATASET-METHOD`` or ``DATASET-METHOD+METHOD+...``.

    Raises:
        ValueError: an unknown dataset or method (the message names the nearest), or methods that contradict each other.
    """
    dataset = max((known for known in dataset_names() if name.startswith(f"{known}-")), key=len, default=None)
    if dataset is None:
        raise ValueError(f"preset: expected a file or DATASET-METHOD, got {name!r}{_nearest(name, preset_names())}")
    mix = name.removeprefix(f"{dataset}-")
    config = _read(_FOLDER / dataset / "base.yaml")
    of_mix = _of_mix(dataset, mix)
    joined: dict[str, Any] = {}
    earlier: dict[str, dict[str, Any]] = {}
    for method in mix.split("+"):
        known = method_names(dataset)
        if method not in known:
            raise ValueError(
                f"preset: expected a method of {', '.join(known)} on {dataset}, got {method!r}{_nearest(method, known)}"
            )
        if method != VANILLA:
            own = _FOLDER / dataset / f"{method}.yaml"
            fragment = _read(own if own.is_file() else _FOLDER / _METHODS / f"{method}.yaml")
            for other, its in earlier.items() if of_mix is None else ():
                _merge(its, fragment, contradiction=f"preset {name!r}: {other!r} and {method!r} contradict each other")
            earlier[method] = fragment
            joined = _merge(joined, fragment)
    config = _merge(_merge(config, joined), of_mix or {})
    return _merge(config, {"output": {"method": mix}})


def _of_mix(dataset: str, mix: str) -> dict[str, Any] | None:
    """The dataset's settings for a mix, whatever the order of its methods; they settle where these contradict."""
    wanted = sorted(mix.split("+"))
    found = [path for path in (_FOLDER / dataset).glob("*+*.yaml") if sorted(path.stem.split("+")) == wanted]
    return _read(found[0]) if found else None


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def _merge(base: Mapping[str, Any], over: Mapping[str, Any], *, contradiction: str | None = None) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        if not isinstance(value, Mapping) or not isinstance(known, Mapping):
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
