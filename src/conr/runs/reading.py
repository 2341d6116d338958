"""Read JSON and YAML files of runs and models, small enough to be read safely."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 64 * 2**20
MOST_VALUES = 500_000
"""Values in a JSON file, estimated before it is parsed."""
MOST_CONFIG_BYTES = 2**20
MOST_CONFIG_VALUES = 100_000
"""Values in a YAML file, each as often as aliases repeat it."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file.

    Args:
        path: the file.
        most: bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than ``most`` bytes; the message names it.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path}: expected at most {most} bytes, got {path.stat().st_size}")
    return content


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is truncated, no JSON, or has more than ``MOST_BYTES`` bytes or about ``MOST_VALUES`` values; the
            message names it.
    """
    return parse_json(path, read_bytes(path))


def parse_json(source: object, content: bytes) -> Any:
    """Parse the content of a JSON file, or a line of one; see `read_json`.

    Args:
        source: the file, as messages name it.
        content: in UTF-8.

    Raises:
        ValueError: as `read_json`.
    """
    values = content.count(b",") + content.count(b"[") + content.count(b"{")
    if values > MOST_VALUES:
        raise ValueError(f"{source}: expected JSON of at most {MOST_VALUES} values, got about {values}")
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{source}: expected a complete JSON file, got one that breaks: {error}") from error


def without_nan(value: Any) -> Any:
    """A value as JSON takes it, which has no NaN or infinity: both become null."""
    if isinstance(value, dict):
        return {name: without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no YAML, has more than ``MOST_CONFIG_BYTES`` bytes, or more than ``MOST_CONFIG_VALUES`` values
            once its aliases are written out; the message names it.
    """
    content = read_bytes(path, MOST_CONFIG_BYTES)
    try:
        text = content.decode()
        values = _values(yaml.compose(text, Loader=_Loader), {})
        if values <= MOST_CONFIG_VALUES:
            return yaml.load(text, Loader=_Loader)  # noqa: S506  a safe loader
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: expected YAML, got a file that breaks: {' '.join(str(error).split())}") from error
    raise ValueError(f"{path}: expected at most {MOST_CONFIG_VALUES} values, got {values} with repeated ones")


def _values(node: Any, known: dict[int, int]) -> int:
    """Values below a node of YAML; one that holds itself is refused."""
    if id(node) not in known:
        known[id(node)] = MOST_CONFIG_VALUES + 1  # until it is counted, it can only be met inside of itself
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = (part for one in inside for part in (one if isinstance(one, tuple) else (one,)))
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]
