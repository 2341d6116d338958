"""One line about options that a parser does not take."""

import re
from argparse import ArgumentError
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import takewhile

_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "a text",
    "<class 'NoneType'>": "null",
    "<class 'list'>": "a list",
    "<class 'collections.abc.Sequence'>": "a list",
    "<class 'collections.abc.Iterable'>": "a list",
    "<class 'dict'>": "names with values",
}
_NOISE = re.compile(
    r"Does not validate against|Subtypes:|Errors:$|Given value|Subclass types expect|a (class path|dict) "
)
_LITERAL = re.compile(r"typing\.Literal\[(.*)\]")
_LONGEST = 300


class OptionError(ValueError):
    """An option that is unknown, or a value of another kind; the message is one line."""


@contextmanager
def option_errors(known: Collection[str] = ()) -> Iterator[None]:
    """Turn what a parser raises (``exit_on_error=False``) into an `OptionError`.

    Args:
        known: options, such as ``--out``, of which the nearest answers an unknown one.
    """
    try:
        yield
    except ArgumentError as error:
        raise OptionError(_in_one_line(str(error), known)) from error


def _in_one_line(message: str, known: Collection[str]) -> str:
    """A parser's message, in one line that says the option, what was expected and what came."""
    if unknown := re.search(r"unrecognized arguments: (\S+)", message, re.IGNORECASE):
        name = unknown[1].partition("=")[0]
        nearest = "".join(f": did you mean {one}?" for one in get_close_matches(name, known, n=1))
        return f"{name}: expected an option of this command, got an unknown one{nearest}"
    if choice := re.search(r"argument (\S+): invalid choice: (.+) \(choose from (.+)\)", message):
        return f"{choice[1]}: expected one of {choice[3]}, got {choice[2]}"
    if missing := re.search(r"argument (\S+): expected (?:one|at least one) argument", message):
        return f"{missing[1]}: expected a value, got none"
    return _of_a_value(message)


def _of_a_value(message: str) -> str:
    made, reason = _innermost(message)
    name = "".join(f"--{one}" for one in [_name(re.findall(r"Parser key ['\"](\S+?)['\"]", message))] if one)
    inside = f"{name}." if name else ""
    if missing := re.search(r"[Kk]ey ['\"](\S+?)['\"] is required|arguments are required: (.+)", reason):
        return f"{inside}{missing[1] or missing[2]}: expected a value, got none"
    if unknown := re.search(r"Option ['\"](\S+?)['\"] is not accepted", reason):
        return f"{inside}{unknown[1]}: expected an option of {made}, got an unknown one"
    kinds = re.findall(r"Expected a (.+?)(?:\. Got value.*)?$", reason, re.MULTILINE)
    words = [_KINDS.get(kind) or _LITERAL.sub(r"\1", kind) for kind in dict.fromkeys(kinds)]
    value = re.search(r"(?:Got|Given) value: (.*)", reason)
    if words and value and "class" not in "".join(words):
        return f"{name}: expected {' or '.join(words)}, got {value[1]!r:.80}"
    lines = [re.sub(r"Parser key ['\"]\S+?['\"]:?", "", line).strip(" -") for line in reason.splitlines()]
    said = " ".join(line for line in dict.fromkeys(lines) if line and not _NOISE.match(line))
    return ": ".join(part for part in (name, made and f"expected a class, got {made!r}", f"{said:.{_LONGEST}}") if part)


def _innermost(message: str) -> tuple[str, str]:
    """The class that could not be made, and why, of the last one that a message speaks of; else "" and the message."""
    lines = message.splitlines()
    starts = [number for number, line in enumerate(lines) if "Problem with given class_path" in line]
    if not starts:
        return "", message
    first = lines[starts[-1]]
    depth = first.index("Problem")
    below = takewhile(lambda line: len(line) - len(line.lstrip()) > depth, lines[starts[-1] + 1 :])
    return first.partition("class_path ")[2].strip("':"), "\n".join(below)


def _name(keys: list[str]) -> str:
    """The option that keys name, each inside of the one before."""
    name = ""
    for key in keys:
        if key == name or name.endswith(f".{key}"):
            continue
        name = key if not name or key.startswith(f"{name}.") else f"{name}.{key}"
    return name.replace(".init_args", "")
