"""Options in messages, as the one who reads them types them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_before: ContextVar[str | None] = ContextVar("_before", default=None)


@contextmanager
def typed_after(before: str | None) -> Iterator[None]:
    """Name options as a command takes them, after ``--`` or ``--data.``; None: as arguments in Python and YAML."""
    token = _before.set(before)
    try:
        yield
    finally:
        _before.reset(token)


def option(name: str, value: str = "") -> str:
    """An option and its value: ``skip_bad``, ``header: false``; in a command ``--skip_bad``, ``--header false``."""
    before = _before.get()
    if before is None:
        return f"{name}: {value}" if value else name
    return f"{before}{name} {value}".rstrip()


def switch(name: str) -> str:
    """An option that switches something on: ``skip_bad``, ``--skip_bad`` or ``--data.skip_bad true``."""
    return option(name, "true" if _before.get() == "--data." else "")
