"""Ways to damage a file, and a file that runs code when it is unpickled."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conr.cli.main import main


class Hostile:
    """Unpickling this touches a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def hostile_pickle(mark: Path) -> bytes:
    """A pickle that touches ``mark``."""
    return pickle.dumps(Hostile(mark))


def _cut(share: float) -> Callable[[bytes, Path], bytes]:
    return lambda content, _mark: content[: int(share * len(content))]


def _noise(content: bytes, _mark: Path) -> bytes:
    return np.random.default_rng(0).bytes(max(64, len(content) // 2))


def _flipped(content: bytes, _mark: Path) -> bytes:
    changed = bytearray(content)
    for position in range(5, len(changed), max(1, len(changed) // 200)):
        changed[position] ^= 0x55
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, Path], bytes]] = {
    "empty": _cut(0),
    "cut at 1 percent": _cut(0.01),
    "cut in the middle": _cut(0.5),
    "cut at the end": _cut(0.98),
    "random bytes": _noise,
    "flipped bytes": _flipped,
    "a pickle that runs code": lambda _content, mark: hostile_pickle(mark),
}
"""What a file becomes, from its content and the file that hostile code would touch."""

JSON_DAMAGES: dict[str, str] = {
    "a list": "[1, 2]",
    "null": "null",
    "a number": "3",
    "no keys": "{}",
    "deep nesting": "[" * 100_000 + "]" * 100_000,
}


def wrong_values(content: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """For each key: the content without it, and with a value of other types; with the key."""
    found = []
    for key, own in content.items():
        found.append((f"without {key}", {name: value for name, value in content.items() if name != key}))
        found += [
            (f"{key} = {json.dumps(value)}", {**content, key: value})
            for value in (None, [], {}, -1, "text", [{"a": 1}], {"a": [None]})
            if type(value) is not type(own) or value != own
        ]
    return found


def refused(words: list[str], capsys: pytest.CaptureFixture[str], *, names: Path | str) -> str:
    """Run a command that must refuse its input: status 2, one line and a hint, no traceback; return the line."""
    capsys.readouterr()
    assert main(words) == 2
    printed = capsys.readouterr()
    line, hint = printed.err.strip().splitlines()[-2:]
    assert hint == "(CONR_TRACEBACK=1 shows where)"
    assert line.startswith(f"conr {words[0]}: "), printed.err
    assert "Traceback" not in printed.err + printed.out
    assert str(names) in line, line
    assert "expected" in line, line
    return line


def refusal(read: Callable[[], object]) -> str | None:
    """What a reader says against its file, in a ValueError; None if it took it."""
    try:
        read()
    except ValueError as error:
        return str(error)
    return None
