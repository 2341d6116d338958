"""The parser of a verb: a help that keeps lines, and options that can be typed with dashes.

It is built when its verb runs, and knows names and types of options alone: what a verb needs is loaded after parsing,
so that help and mistyped options are answered at once.
"""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from conr._options import option_errors

_SETTING = re.compile(r"--((?:data|model|trainer|protocol)\b.*)")


def verb_parser(verb: str, description: str) -> ArgumentParser:
    """Parser of the options of ``conr VERB``.

    Args:
        verb: the verb; two words for one of a group, as "table fit".
        description: for its help, whose lines are kept, so that it can hold examples.
    """
    return ArgumentParser(
        prog=f"conr {verb}",
        description=description,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
    )


def parse(parser: ArgumentParser, words: Sequence[str], *, flags: Collection[str] = ()) -> Namespace:
    """Read the options of a verb.

    Args:
        parser: knows them.
        words: as typed after the verb; ``--skip-bad`` is the same as ``--skip_bad``.
        flags: options of type bool that may stand without a value.

    Raises:
        ValueError: options that do not parse.
        SystemExit: ``--help``.
    """
    typed = []
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            typed.append(word)
            continue
        name = name[2:].replace("-", "_")
        following = words[position + 1] if position + 1 < len(words) else "--"
        if name in flags and not equals and following.startswith("--"):
            equals, value = "=", "true"
        typed.append(f"--{name}{equals}{value}")
    with option_errors([name for action in parser._actions for name in action.option_strings]):
        return parser.parse_args(typed)


def add_file_format(parser: ArgumentParser, header: str = "yes") -> None:
    """Add the options of `conr.tables.files.FileFormat`, and ``--skip_bad``.

    Args:
        parser: gets them.
        header: what holds if ``--header`` is not given, for the help.
    """
    parser.add_argument(
        "--header",
        type=bool | None,
        default=None,
        help=f"whether the first row of a CSV file holds names (default: {header})",
    )
    for name, summary in (
        ("separator", "comma, semicolon, tab, bar or space (default: detected)"),
        ("encoding", "such as utf-8 or latin-1 (default: detected)"),
        ("decimal", "decimal mark, . or , (default: detected)"),
        ("dates", "day-first, month-first, year-first, or none if no column holds dates (default: detected)"),
    ):
        parser.add_argument(f"--{name}", type=str | None, default=None, help=summary)
    parser.add_argument("--skip_bad", action="store_true", help="leave out and count rows that cannot be used")


def split_settings(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate the settings of runs, ``--trainer.max_epochs 2``, from the verb's own options.

    Raises:
        ValueError: a setting without a value.
    """
    own, settings = [], {}
    waiting = iter(words)
    for word in waiting:
        found = _SETTING.fullmatch(word)
        if found is None:
            own.append(word)
            continue
        name, equals, value = found[1].partition("=")
        if not equals:
            value = next(waiting, "--")
            if value.startswith("--"):
                raise ValueError(f"--{name}: expected a value after it, got none")
        settings[name] = value
    return own, settings


class _HelpFormatter(DefaultHelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002  argparse passes it
        return "".join(indent + line for line in text.splitlines(keepends=True))


def check_free(path: Path) -> None:
    """Require a path of ``--out`` where nothing is and where files can be written.

    Raises:
        ValueError: it is there, or its folder cannot be written to.
    """
    if os.path.lexists(path):
        raise ValueError(
            f"--out: expected a new file or folder, found {path}: nothing is overwritten, choose another name"
        )
    above = next(one for one in path.absolute().parents if one.exists())
    try:
        TemporaryDirectory(dir=above).cleanup()  # said before a training, not after it
    except OSError as error:
        raise ValueError(
            f"--out: expected a place that can be written to, got {path}, and {above} cannot: {error.strerror}"
        ) from error
