"""Columns as they are typed: names as they stand there, whatever YAML makes of ``no`` or ``1e3``, and positions."""

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from conr._hints import option

MOST_NAMES = 20

Name = int | str
"""A column, by name or position (from 0, or from -1 at the end)."""

_POSITION = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)  # 007 is a name
_LISTED = re.compile(r"""\s*(?:'([^']*)'\s*(?=,|$)|"([^"]*)"\s*(?=,|$)|([^,\s][^,]*))""")  # a name of a list
_OPTION = re.compile(r"--(?:data\.(?:init_args\.)?)?(?:target|ignore|categorical)")
_PLAIN = re.compile(r"[\w.][\w ./%-]*")  # but a word that stands for nothing
_NULL = frozenset(("null", "Null", "NULL"))
_NUMBER = re.compile(r"[-+]?\d+[.,]\d*")  # not a whole number, such as a year, which may well be a name


def typed_columns(words: Sequence[str]) -> list[Name]:
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
            columns += ["".join(quoted_or_plain) for quoted_or_plain in _LISTED.findall(word[1:-1])]
        else:
            columns.append(word)
    return [*map(typed_column, map(str.strip, columns))]


def typed_column(word: Name) -> Name:
    """The position that digits are, else the name as it is typed: ``0x1F`` and ``1_0`` are names."""
    return int(word) if isinstance(word, str) and _POSITION.fullmatch(word) else word


def as_setting(columns: Sequence[Name]) -> Name | list[Name]:
    """Columns as a configuration holds them: a single one by itself, unless YAML might read it as something else."""
    alone = len(columns) == 1 and (isinstance(columns[0], int) or _is_plain(columns[0]))
    return columns[0] if alone else list(columns)


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and name not in _NULL


def quote_columns(options: Sequence[str]) -> list[str]:
    """Options in which columns are JSON, as in ``--data.ignore '[id, no]'``, unless they are read as typed anyway."""
    quoted: list[str] = []
    for word in options:
        name, equals, value = word.partition("=")
        if quoted and _OPTION.fullmatch(quoted[-1]) and not word.startswith("--"):
            name, equals, value = "", "", word
        is_column = not name or _OPTION.fullmatch(name)
        if is_column and value and not _is_plain(value) and not _POSITION.fullmatch(value):
            word = f"{name}{equals}{json.dumps(typed_columns([value]))}"  # noqa: PLW2901
        quoted.append(word)
    return quoted


def column_name(path: Path, names: Sequence[str], argument: str, wanted: Name) -> str:
    """The column that a name or position stands for; a name, such as 2015, comes first.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if str(wanted) in names:
        return str(wanted)
    if isinstance(wanted, int):
        alike = [name for name in names if re.fullmatch(rf"0*{wanted}(?:\.0*)?", name)]
        if alike:
            raise ValueError(
                f"{argument}: expected a name or a position, got {wanted}, which may be a position or mean {alike[0]!r}"
            )
        if -len(names) <= wanted < len(names):
            return names[wanted]
        raise ValueError(f"{argument}: expected a position in the {len(names)} columns of {path}, got {wanted}")
    if f"[{wanted}]" in names:  # typed as a list of one
        return f"[{wanted}]"
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if any(_NUMBER.fullmatch(name) for name in names):
        no_names = option("header", "false")
        hint = f"; some of these are numbers: for a file without names set {no_names} and give positions"
    if len(names) == 1 and re.search(r"[,;\t|:]", names[0]):
        hint = f"; it has one column: set {option('separator')}, or take away the quotation marks around whole lines"
    some = ", ".join(map(repr, names[:MOST_NAMES])) + (", ..." if len(names) > MOST_NAMES else "")
    raise ValueError(f"{argument}: expected a column of {path} ({some}), got {wanted!r}{hint}")
