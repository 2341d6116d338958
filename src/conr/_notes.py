"""Warnings as notes of one line, for processes of the command."""

import sys
import warnings
from typing import TextIO


def show_warnings_as_notes() -> None:
    """Let this process print ``note: TEXT`` for a warning, without category, file and line of source."""
    warnings.showwarning = _print_note


def _print_note(  # noqa: PLR0917
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001  as in `warnings.showwarning`
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,
    line: str | None = None,  # noqa: ARG001
) -> None:
    print(f"note: {' '.join(str(message).split())}", file=file or sys.stderr)
