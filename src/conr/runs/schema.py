"""Kinds of values in JSON files, and a check that says what is wrong and where.

A kind is

- ``str``, ``bool``, ``dict`` or ``list``: such a value; ``None``: null; ``object``: anything;
- ``int``: a whole number of at most 64 bits; a ``range``: one in it; ``float``: a finite number, or such a whole one; a
  `Within`: one of these from its low to its high, without a fraction if it is whole;
- a text or number: this value; a tuple: one of several kinds;
- ``[kind]``: a list of such values;
- ``{"name": kind, "name?": kind}``: names with values, of which those with a question mark may be absent. Other names
  are refused, unless ``...`` (Ellipsis) gives the kind of their values.
"""

import math
from dataclasses import dataclass
from typing import Any

_WHOLE = range(-(2**63), 2**63)
_NAMES = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "names with values",
}


@dataclass(frozen=True)
class Within:
    """Numbers from ``low`` to ``high``; ``whole`` ones may be written as 3.0."""

    low: float = 0
    high: float = math.inf
    whole: bool = False


def check(source: object, value: Any, kind: Any, at: str = "") -> None:
    """Require a value of a kind.

    Args:
        source: the file, as messages name it.
        value: as JSON gives it.
        kind: see the module.
        at: where in the file the value is, such as "bins.edges".

    Raises:
        ValueError: a value of another kind, a missing or an unknown name; the message says file, place, what was
            expected and what was found.

    Example:
        >>> check("result.json", {"epochs": "ten"}, {"epochs": int})
        Traceback (most recent call last):
        ValueError: result.json: epochs: expected a whole number, got 'ten'
    """
    if isinstance(kind, dict):
        _check_names(source, value, kind, at)
    elif isinstance(kind, list):
        _require(source, value, list, at)
        for position, one in enumerate(value):
            check(source, one, kind[0], f"{at}[{position}]")
    elif isinstance(kind, tuple) and (mapping := next((one for one in kind if isinstance(one, dict | list)), None)):
        if isinstance(value, type(mapping)):
            check(source, value, mapping, at)
        else:
            _require(source, value, kind, at)
    else:
        _require(source, value, kind, at)


def is_number(value: Any) -> bool:
    """Tell a finite number, of at most 64 bits if it is whole, from other values."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and value in _WHOLE


def _check_names(source: object, value: Any, kind: dict[Any, Any], at: str) -> None:
    _require(source, value, dict, at)
    inside = f"{at}." if at else ""
    known = {str(name).removesuffix("?"): (name, one) for name, one in kind.items() if name is not ...}
    for name, (written, one) in known.items():
        if name in value:
            check(source, value[name], one, f"{inside}{name}")
        elif not written.endswith("?"):
            raise ValueError(f"{source}: expected the key '{inside}{name}', found none")
    for name in value.keys() - known.keys():
        if ... not in kind:
            raise ValueError(f"{source}: {at or 'names'}: expected {', '.join(known)}, got {name!r:.80}, too")
        check(source, value[name], kind[...], f"{inside}{name:.80}")


def _require(source: object, value: Any, kind: Any, at: str) -> None:
    if not _is(value, kind):
        place = f"{at}: " if at else ""
        raise ValueError(f"{source}: {place}expected {_name(kind)}, got {value!r:.80}")


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, tuple):
        return any(_is(value, one) for one in kind)
    if kind is float:
        return is_number(value)
    if isinstance(kind, Within):
        return is_number(value) and kind.low <= value <= kind.high and not (kind.whole and value % 1)
    if kind is int or isinstance(kind, range):
        inside = kind if isinstance(kind, range) else _WHOLE
        return isinstance(value, int) and not isinstance(value, bool) and value in inside
    if isinstance(kind, dict | list | type):
        return isinstance(value, kind if isinstance(kind, type) else type(kind))
    return type(value) is type(kind) and bool(value == kind)


def _name(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(dict.fromkeys(map(_name, kind)))
    if isinstance(kind, dict | list):
        kind = type(kind)
    if isinstance(kind, range):
        kind = Within(kind.start, whole=True)
    if isinstance(kind, Within):
        most = f" and at most {kind.high}" if kind.high < math.inf else ""
        return f"a {'whole ' if kind.whole else ''}number of at least {kind.low}{most}"
    return "null" if kind is None else _NAMES[kind] if isinstance(kind, type) else repr(kind)
