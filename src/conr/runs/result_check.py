"""What a ``result.json`` must hold: keys and kinds of values, so that whatever reads one can rely on it."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

REGIONS = ("all", "many", "median", "few")
KEYS: dict[str, tuple[str, ...]] = {
    "dataset": (),
    "method": (),
    "seed": (),
    "label": ("name", "unit"),
    "bins": ("edges", "train_counts", "regions"),
    "headline": (),
    "metrics": REGIONS,
    "checkpoint": ("path", "epoch", "monitor", "value"),
    "epochs": (),
    "train_seconds": (),
    "versions": (),
    "hardware": (),
    "created": (),
}
_KINDS: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "method": (str,),
    "seed": (int, type(None)),
    "label.name": (str,),
    "label.unit": (str,),
    "bins.edges": (list,),
    "bins.train_counts": (list,),
    "bins.regions": (list,),
    "headline": (str,),
    "checkpoint.path": (str, type(None)),
    "checkpoint.epoch": (int, type(None)),
    "checkpoint.monitor": (str, type(None)),
    "checkpoint.value": (float, int, type(None)),
    "epochs": (int,),
    "train_seconds": (float, int),
    "versions": (dict,),
    "hardware": (dict,),
    "created": (str,),
}
_JSON_NAMES = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "names with values"}
OPTIONAL = ("peak_memory",)  # files of earlier versions lack them


def check_content(path: Path, content: Any, schema: str) -> None:
    """Require the content of a result file.

    Args:
        path: the file, as messages name it.
        content: as JSON gives it.
        schema: that it must name.

    Raises:
        ValueError: another schema, a missing key, or a value of another kind; the message names the file and the key.
    """
    found = content.get("schema") if isinstance(content, dict) else None
    if found != schema:
        raise ValueError(f"{path}: expected schema {schema!r}, got {found!r:.80}")
    for key, inner in KEYS.items():
        _check_keys(path, content, key, inner)
    _check_kinds(path, content)
    for region in REGIONS:
        _check_keys(path, content["metrics"], region, ("count", content["headline"]), parent="metrics.")
    _check_numbers(path, content)
    peak = content.get("peak_memory")
    if peak is not None and type(peak) is not int:
        raise ValueError(f"{path}: peak_memory: expected bytes or null, got {peak!r:.80}")


def _check_kinds(path: Path, content: Mapping[str, Any]) -> None:
    for key, kinds in _KINDS.items():
        found: Any = content
        for part in key.split("."):
            found = found.get(part)
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            expected = " or ".join("null" if kind is type(None) else _JSON_NAMES[kind] for kind in kinds)
            raise ValueError(f"{path}: {key}: expected {expected}, got {found!r:.80}")


def _check_numbers(path: Path, content: Mapping[str, Any]) -> None:
    for region in REGIONS:
        for name, value in content["metrics"][region].items():
            if value is not None and not _is_number(value):
                raise ValueError(f"{path}: metrics.{region}.{name}: expected a number or null, got {value!r:.80}")
    edges, counts, regions = (content["bins"][name] for name in ("edges", "train_counts", "regions"))
    for one in edges:
        if not isinstance(one, list) or len(one) < 2 or not all(map(_is_number, one)):
            raise ValueError(f"{path}: bins.edges: expected lists of at least two numbers, got {one!r:.80}")
    bins = math.prod(len(one) - 1 for one in edges)
    if len(counts) != bins or not all(map(_is_number, counts)):
        raise ValueError(f"{path}: bins.train_counts: expected {bins} numbers, one per bin, got {counts!r:.80}")
    if len(regions) != bins or any(region not in REGIONS[1:] for region in regions):
        raise ValueError(f"{path}: bins.regions: expected {bins} of {', '.join(REGIONS[1:])}, got {regions!r:.80}")
    dimensions = content["label"].get("dimensions", [])
    if not isinstance(dimensions, list) or not all(isinstance(one, str) for one in dimensions):
        raise ValueError(f"{path}: label.dimensions: expected a list of texts, got {dimensions!r:.80}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_keys(path: Path, content: Mapping[str, Any], key: str, inner: Iterable[str], parent: str = "") -> None:
    if key not in content:
        raise ValueError(f"{path}: expected the key '{parent}{key}', found none")
    for name in inner:
        if not isinstance(content[key], dict) or name not in content[key]:
            raise ValueError(f"{path}: expected the key '{parent}{key}.{name}', found none")
