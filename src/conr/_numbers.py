"""Numbers that people write as text."""

from typing import Any


def parse_number(value: Any) -> float:
    """The number that a text is, or another kind of number; as `float`, but for the underscores of Python's numbers.

    Raises:
        TypeError, ValueError: as `float`; a text with an underscore.

    Example:
        >>> parse_number(" 1e3 ")
        1000.0
    """
    if isinstance(value, str) and "_" in value:  # 1_10 is somebody's code, not 110
        raise ValueError(f"could not convert string to float: {value!r}")
    return float(value)
