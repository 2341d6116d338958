"""Descriptions of saved models that tell if they were changed: JSON with a digest of all else that is in it."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from conr.runs.atomic import write_text
from conr.runs.reading import read_json
from conr.runs.schema import check

DIGEST = "description_sha256"

BREAKS = (
    SafetensorError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    zipfile.BadZipFile,
)
"""The errors of numbers and names that do not fit together, in this package and those below it."""


def write_sealed(path: Path, description: Mapping[str, Any]) -> Path:
    """Write a description as JSON with its digest, complete or not at all, and return its path."""
    text = json.dumps({**description, DIGEST: _digest(description)}, indent=1, ensure_ascii=False)
    return write_text(path, f"{text}\n")


def read_sealed(path: Path, kind: Mapping[Any, Any]) -> dict[str, Any]:
    """Read what `write_sealed` wrote, without the digest.

    Earlier versions wrote none: such a file is read, and a change that leaves it whole is not found.

    Args:
        path: the file.
        kind: of the description; see `conr.runs.schema`.

    Raises:
        OSError: it cannot be read.
        ValueError: no JSON of this kind, or changed since it was written; the message names the file.
    """
    description: dict[str, Any] = read_json(path)
    check(path, description, {**kind, f"{DIGEST}?": str})
    digest = description.pop(DIGEST, None)
    if digest not in (None, _digest(description)):
        raise ValueError(f"{path}: expected what was saved, got a description that was changed: its digest differs")
    return description


def broken_model(folder: Path, saver: str, error: Exception) -> ValueError:
    """The error for a model whose parts do not fit together."""
    text = " ".join(f"{error}".split())
    return ValueError(f"{folder}: expected a model that {saver} wrote, got a broken one: {text:.400}")


def _digest(description: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
