"""A sign of life for steps that take long."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

SILENT_SECONDS = 5.0


@contextmanager
def working(step: str) -> Iterator[None]:
    """Show on standard error that a step is at work: a spinner in a terminal, a line after five seconds elsewhere.

    Args:
        step: what is done, such as "drawing the report".
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            shown.add_task(step, total=None)
            yield
        return
    timer = Timer(SILENT_SECONDS, lambda: print(f"{step} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
