"""What a parser says of options that it does not take, in one line."""

import re
from argparse import ArgumentError
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

_KINDS = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'str'>": "a text",
    "<class 'NoneType'>": "null",
    "<class 'list'>": "a list",
    "<class 'dict'>": "names with values",
}
_NOISE = re.compile(
    r"Does not validate against|Subtypes:|Errors:$|Given value|Subclass types expect|a (class path|dict) "
)
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
        nearest = get_close_matches(name, known, n=1)
        return f"{name}: expected an option of this command, got an unknown one" + (
            f": did you mean {nearest[0]}?" if nearest else ""
        )
    if missing := re.search(r"[Kk]ey ['\"](\S+?)['\"] is required", message):
        return f"{missing[1]}: expected a value, got none"
    name = _name(re.findall(r"Parser key ['\"](\S+?)['\"]", message))
    kinds = re.findall(r"Expected a (<class '\w+'>)", message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    if kinds and value and set(kinds) <= _KINDS.keys() and "class_path" not in value[1]:
        words = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
        return f"--{name}: expected {words}, got {value[1]!r:.80}"
    lines = [re.sub(r"Parser key ['\"]\S+?['\"]:?", "", line).strip(" -") for line in message.splitlines()]
    said = " ".join(line for line in dict.fromkeys(lines) if line and not _NOISE.match(line))
    return f"--{name}: {said:.{_LONGEST}}" if name else f"{said:.{_LONGEST}}"


def _name(keys: list[str]) -> str:
    """The option that keys name, each inside of the one before."""
    name = ""
    for key in keys:
        if key == name or name.endswith(f".{key}"):
            continue
        name = key if not name or key.startswith(f"{name}.") else f"{name}.{key}"
    return name.replace(".init_args", "")
