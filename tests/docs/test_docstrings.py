"""Docstrings of the public API: arguments are those of the signature, and examples give what they print."""

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import conr


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(conr.__path__, "conr."):
        if not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


MODULES = list(modules())


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    for module in MODULES:
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{module.__name__}.{name}", value


CALLABLES = dict(public_callables())


def documented_arguments(text: str) -> list[str]:
    """Names of the entries of the section "Args:"."""
    lines = inspect.cleandoc(text).splitlines()
    if "Args:" not in lines:
        return []
    names = []
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        found = re.match(r"^ {4}\*{0,2}(\w+)(?:, \w+)*: ", line)
        if found:
            names.append(found[1])
    return names


@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_documented_arguments_are_those_of_the_signature(name: str) -> None:
    value = CALLABLES[name]
    documented = documented_arguments(value.__doc__ or "")
    if not documented:
        return
    parameters = [p for p in inspect.signature(value).parameters if p not in ("self", "args", "kwargs")]
    assert documented == [p for p in parameters if p in documented], f"{name}: order or names differ from {parameters}"
    assert set(parameters) == set(documented), f"{name}: {sorted(set(parameters) ^ set(documented))}"


def test_the_search_finds_the_api() -> None:
    assert {"conr.losses.conr.conr_loss", "conr.density.bins.Bins", "conr.report.page.write_report"} <= set(CALLABLES)
    assert documented_arguments(conr.conr_loss.__doc__ or "")[:3] == ["features", "labels", "predictions"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
