"""Warnings as notes of one line, for processes of the command."""

import sys
import warnings
from typing import TextIO

_shown: set[str] = set()  # Python tells the places of a warning apart, and a table is predicted from several


def show_warnings_as_notes() -> None:
    """Let this process print ``note: TEXT`` for a warning, once for each text, without category, file and line."""
    _shown.clear()
    warnings.showwarning = _print_note


def _print_note(  # noqa: PLR0917
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001  as in `warnings.showwarning`
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,
    line: str | None = None,  # noqa: ARG001
) -> None:
    text = " ".join(str(message).split())
    if text not in _shown:
        _shown.add(text)
        print(f"note: {text}", file=file or sys.stderr)
