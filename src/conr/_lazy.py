"""Packages whose names are loaded at first use (PEP 562), so that importing a small thing loads a small thing."""

import ast
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from conr._extras import require_for


def lazy_package(
    package: str, file: str, *needs: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose stub ``__init__.pyi`` lists its names.

    The stub holds lines ``from MODULE import NAME as NAME``, which type checkers read and which are loaded here when a
    name is first asked for. Submodules are loaded in the same way.

    Args:
        package: its ``__name__``.
        file: its ``__file__``.
        *needs: optional packages of different extras that its names need. If loading a name fails as a package is
            missing, the error lists all that are, and the extras that bring them.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    modules = {
        alias.name: line.module or "" for line in stub.body if isinstance(line, ast.ImportFrom) for alias in line.names
    }
    names = sorted(modules)

    def load(name: str) -> Any:
        if name in modules:
            try:
                value = getattr(import_module(modules[name]), name)
            except ModuleNotFoundError as error:
                require_for(error, f"{package}.{name}", *needs)
                raise
        elif not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return import_module(f"{package}.{name}")  # which sets the attribute
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(import_module(package), name, value)
        return value

    return load, lambda: names, names
