"""Columns as they are typed: names as they stand there, whatever YAML makes of ``no`` or ``1e3``."""

import csv
import json
import re
from collections.abc import Sequence

_POSITION = re.compile(r"-?\d+")
_OPTION = re.compile(r"--data\.(?:init_args\.)?(?:target|ignore|categorical)")


def typed_columns(words: Sequence[str]) -> list[int | str]:
    """Names and positions of columns from what is typed: ``id``, ``'[id, no]'``, ``3``.

    Args:
        words: each a column, or several in square brackets with commas between them; a name with a comma has quotes.

    Example:
        >>> typed_columns(["id", "[no, 1e3, -1]", "['a, b']"])
        ['id', 'no', '1e3', -1, 'a, b']
    """
    columns: list[str] = []
    for word in words:
        if word.startswith("[") and word.endswith("]"):
            quote = "'" if "'" in word else '"'
            columns += next(csv.reader([word[1:-1]], skipinitialspace=True, quotechar=quote), [])
        else:
            columns.append(word)
    return [int(name) if _POSITION.fullmatch(name) else name for name in map(str.strip, columns)]


def quote_columns(options: Sequence[str]) -> list[str]:
    """Options in which lists of columns, ``--data.ignore '[id, no]'``, are JSON."""
    quoted: list[str] = []
    for option in options:
        name, equals, value = option.partition("=")
        if not equals and quoted and _OPTION.fullmatch(quoted[-1]):
            name, value = "", option
        if value.startswith("[") and (not name or _OPTION.fullmatch(name)):
            option = f"{name}{equals}{json.dumps(typed_columns([value]))}"  # noqa: PLW2901
        quoted.append(option)
    return quoted
