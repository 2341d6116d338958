"""Classes of modules in the current folder, which is searched only where a command names one of them."""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

_OPTION = re.compile(r"--(?:data|model|trainer|protocol|optimizer|lr_scheduler|rrt|trusted)\b[\w.+-]*")
_CONFIG, _FOLDERS = ("--config", "-c", "--settings"), ("--run", "--resume", "--beside")
_CLASS = re.compile(r"([^\W\d]\w*)(?:\.[^\W\d]\w*)+")
_IN_TEXT = re.compile(rf"[:\-\[,{{]\s*[\"']?(?P<path>{_CLASS.pattern})[\"']?\s*(?=[\]}},#\r\n]|$)")
_MOST_BYTES = 2**20  # of a configuration


def find_own_classes(words: Sequence[str]) -> None:
    """Add the current folder at the end of the path of modules if a command names a class of a module that is there.

    Installed modules come first, and without such a name none of the folder is ever imported: not even one that is
    called like an optional package that is not installed.

    Args:
        words: as typed, with the verb.
    """
    here = Path.cwd()
    for named in _named(words):
        module = _CLASS.fullmatch(named)
        if module is None or Path(named).exists():  # a file such as mine.csv
            continue
        is_here = (here / f"{module[1]}.py").is_file() or (here / module[1]).is_dir()
        if is_here and find_spec(module[1]) is None:
            sys.path.append(str(here))
            return


def _named(words: Sequence[str]) -> Iterator[str]:
    """Everything in the options of a command, and in the configurations that it names, that looks like a class."""
    previous = ""
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("-") else (previous, "=", word)
        previous = option if not equals else ""
        if not equals:
            continue
        if _OPTION.fullmatch(option) or (words[0] == "data" and option.startswith("--")):
            yield value
            yield from (found["path"] for found in _IN_TEXT.finditer(value))
        file = Path(value) if option in _CONFIG else Path(value) / "config.yaml"
        if (option in _CONFIG or option in _FOLDERS or (words[0] == "explain" and not option)) and file.is_file():
            with file.open("rb") as content:
                text = content.read(_MOST_BYTES).decode(errors="replace")
            yield from (found["path"] for found in _IN_TEXT.finditer(text))
