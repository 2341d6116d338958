"""Argument checks of numbers and words: each error says what was expected and what came."""

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

# Tuples, because a union cannot be traced by torch.compile before torch 2.7; NumPy's numbers are Real or Integral.
_REAL = (int, float, Real)
_WHOLE = (int, Integral)
_PAIR = (tuple, list)


def check_number(name: str, value: float, *, low: float = -math.inf, open_low: bool = False) -> None:
    """Require a finite number, at least ``low`` (more than ``low`` if ``open_low``)."""
    if isinstance(value, bool) or not isinstance(value, _REAL):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not -math.inf < value < math.inf:  # math.isfinite would break a compiled graph
        raise ValueError(f"{name}: expected a finite number, got {value}")
    if value < low or (open_low and value == low):
        raise ValueError(f"{name}: expected a number {'above' if open_low else 'of at least'} {low:g}, got {value}")


def check_share(name: str, value: float, *, open_high: bool = False) -> None:
    """Require a number in [0, 1] (below 1 if ``open_high``)."""
    check_number(name, value)
    if not 0 <= value <= 1 or (open_high and value == 1):
        raise ValueError(f"{name}: expected a number in [0, 1{')' if open_high else ']'}, got {value}")


def check_whole(name: str, value: int, *, low: int) -> None:
    """Require a whole number of at least ``low``."""
    check_number(name, value, low=low)
    if not isinstance(value, _WHOLE):
        raise TypeError(f"{name}: expected a whole number, got {value}")


def check_flag(name: str, value: bool) -> None:
    """Require a truth value."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, got {value!r:.80}")


def check_seed(name: str, value: int) -> None:
    """Require a seed that NumPy and torch take."""
    check_whole(name, value, low=0)
    if value >= 2**32:
        raise ValueError(f"{name}: expected a number below {2**32}, got {value}")


def check_range(name: str, value: Sequence[float]) -> None:
    """Require two finite numbers, 0 < low <= high."""
    if not isinstance(value, _PAIR) or len(value) != 2:
        raise TypeError(f"{name}: expected two numbers, got {value!r:.80}")
    for one in value:
        check_number(name, one)
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"{name}: expected 0 < low <= high, got {tuple(value)}")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Require one of several words; a wrong one is answered with the nearest."""
    known = list(choices)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name}: expected one of {', '.join(map(repr, known))}, got {value!r}{hint}")
