"""Read JSON, YAML and NumPy files of runs and models, small enough to be read safely."""

import json
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

MOST_BYTES = 64 * 2**20
MOST_VALUES = 500_000
"""Values in a JSON file, estimated before it is parsed."""
MOST_CONFIG_BYTES = 2**20
MOST_CONFIG_VALUES = 100_000
"""Values in a YAML file, each as often as aliases repeat it."""

MOST_ARRAY_BYTES = 4 * 2**30
"""Size of the unpacked arrays of a NumPy archive."""

# What NumPy and zipfile raise depends on where an archive is damaged; NotImplementedError is a RuntimeError.
_BROKEN_ARCHIVE = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OSError,
    OverflowError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file.

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
    """Parse the content of a JSON file, or a line of one; raises as `read_json`, and calls the file ``source``."""
    values = content.count(b",") + content.count(b"[") + content.count(b"{")
    if values > MOST_VALUES:
        raise ValueError(f"{source}: expected JSON of at most {MOST_VALUES} values, got about {values}")
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{source}: expected a complete JSON file, got a broken one: {error}") from error


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
        raise ValueError(f"{path}: expected YAML, got a broken file: {' '.join(str(error).split())}") from error
    raise ValueError(f"{path}: expected at most {MOST_CONFIG_VALUES} values, got {values} with repeated ones")


def _values(node: Any, known: dict[int, int]) -> int:
    """Values below a node of YAML; one that holds itself is refused."""
    if id(node) not in known:
        known[id(node)] = MOST_CONFIG_VALUES + 1  # until it is counted, it can only be met inside of itself
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = (part for one in inside for part in (one if isinstance(one, tuple) else (one,)))
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of these names from a NumPy archive (.npz); no code in the file is ever run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken file, one of more than ``MOST_ARRAY_BYTES`` unpacked bytes, or a missing array; the message
            names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a NumPy archive, found no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_ARRAY_BYTES:
            raise ValueError(f"at most {MOST_ARRAY_BYTES} unpacked bytes are read, got {unpacked}")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except _BROKEN_ARCHIVE as error:
        raise ValueError(f"{path}: expected a complete NumPy archive, got a broken one: {error}") from error
    for name in names:
        if name not in found:
            raise ValueError(f"{path}: expected the array {name!r}, got {', '.join(sorted(found)) or 'none'}")
    return {name: found[name] for name in names}
