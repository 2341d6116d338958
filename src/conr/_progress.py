"""A sign of life for steps that take long."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

SILENT_SECONDS = 5.0


@contextmanager
def working(step: str) -> Iterator[None]:
    """Show on standard error, from five seconds on, that a step is at work: a spinner in a terminal, a line elsewhere.

    Args:
        step: what is done, such as "drawing the report".
    """
    spinner = _spinner(step) if sys.stderr.isatty() else None

    def show() -> None:
        if spinner is None:
            print(f"{step} ...", file=sys.stderr, flush=True)
        else:
            spinner.start()

    timer = Timer(SILENT_SECONDS, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it may be about to show
        if spinner is not None:
            spinner.stop()


def _spinner(step: str) -> Any:
    try:
        from rich.console import Console  # noqa: PLC0415  seldom needed
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    except ImportError:  # comes with an extra
        return None
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    spinner = Progress(*columns, console=Console(stderr=True), transient=True)
    spinner.add_task(step, total=None)
    return spinner
