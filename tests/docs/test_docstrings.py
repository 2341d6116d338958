"""Docstrings: arguments, shapes and errors of what is public, first sentences, and examples that run."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import conr


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(conr.__path__, "conr."):
        if not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


MODULES = list(modules())


def callables_of_modules() -> Iterator[tuple[str, Callable[..., Any]]]:
    for module in MODULES:
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{module.__name__}.{name}", value


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """What packages hand out by name."""
    for package in (conr, *MODULES):
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            own = str(getattr(value, "__module__", "")).startswith("conr.")
            if own and (inspect.isfunction(value) or inspect.isclass(value)):
                yield name, value


CALLABLES = dict(callables_of_modules())
PUBLIC = dict(public_callables())


def entries(value: object, *sections: str) -> dict[str, str]:
    """Names and texts of the entries of sections such as "Args" in a docstring."""
    lines = inspect.cleandoc(getattr(value, "__doc__", None) or "").splitlines()
    found: dict[str, str] = {}
    for section in sections:
        if f"{section}:" not in lines:
            continue
        for line in lines[lines.index(f"{section}:") + 1 :]:
            if line and not line.startswith(" "):
                break
            entry = re.match(r"^ {4}((?:\*{0,2}\w+)(?:, \*{0,2}\w+)*): (.*)", line)
            if entry:
                names = [name.strip("* ") for name in entry[1].split(",")]
                found |= dict.fromkeys(names, entry[2])
            elif found and line.strip():
                last = list(found)[-1]
                found[last] += " " + line.strip()
    return found


def parameters(value: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    if typing.is_typeddict(value):
        return {}
    found = inspect.signature(value).parameters
    return {name: one for name, one in found.items() if name not in ("self", "args", "kwargs")}


def inherited(value: object) -> dict[str, str]:
    """Entries of the base classes, to which a class hands arguments on; ``--help`` shows them too."""
    found: dict[str, str] = {}
    for base in inspect.getmro(value)[:0:-1] if inspect.isclass(value) else ():
        if base.__module__.startswith("conr."):
            found |= entries(base, "Args")
    return found


def documented(value: Callable[..., Any]) -> dict[str, str]:
    """Entries of its own, then of its base classes and of the functions that its text refers to."""
    found = inherited(value) | entries(value, "Args", "Attributes")
    for name in re.findall(r"`(?:conr\.[\w.]*\.)?(\w+)`", value.__doc__ or ""):
        if name in PUBLIC:
            found = entries(PUBLIC[name], "Args", "Attributes") | found
    return found


def is_record(value: object) -> bool:
    """Whether it is a class of named values, which is read rather than called."""
    return inspect.isclass(value) and (issubclass(value, tuple) or dataclasses.is_dataclass(value))


WITH_ARGUMENTS = sorted(n for n, value in PUBLIC.items() if len(parameters(value)) > 1 and not is_record(value))
DESCRIBED = sorted(name for name, value in CALLABLES.items() if entries(value, "Args"))
SHAPE = re.compile(
    r"\bshapes?\b|\(\w+, ?\w*|\blike(?:wise)?\b|\btheir\b|\bas\b|\bsee\b|\bscalar\b|\bsame\b|\bof (?:them|each)\b"
)


def missing_in(name: str) -> list[str]:
    """Arguments, shapes and errors that the docstring of a public name does not tell."""
    value = PUBLIC[name]
    known, texts = parameters(value), documented(value)
    found = [f"{name}: nothing is said about {one}" for one in known if one not in texts]
    for one, parameter in known.items():
        is_tensor = "Tensor" in str(parameter.annotation) and "float" not in str(parameter.annotation)
        if is_tensor and not SHAPE.search(texts.get(one, "")):
            found.append(f"{name}: no shape of {one}")
    if inspect.isfunction(value):
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
        raises = any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))
        if raises and "Raises:" not in (value.__doc__ or ""):
            found.append(f"{name}: raises, and does not say when")
    return found


def test_what_is_public_says_its_arguments_shapes_and_errors() -> None:
    assert len(WITH_ARGUMENTS) > 100
    assert [problem for name in WITH_ARGUMENTS for problem in missing_in(name)] == []


def test_documented_arguments_are_those_of_the_signature() -> None:
    wrong = []
    for name in DESCRIBED:
        said, known = list(entries(CALLABLES[name], "Args")), list(parameters(CALLABLES[name]))
        known = [one for one in known if one in said or one not in inherited(CALLABLES[name])]
        if [one for one in said if one not in ("self", "args", "kwargs")] != known:
            wrong.append(f"{name}: {said} for {known}")
    assert wrong == []
    assert len(DESCRIBED) > 250
    assert list(entries(conr.conr_loss, "Args"))[:3] == ["features", "labels", "predictions"]


def test_a_first_sentence_names_a_thing_or_commands() -> None:
    def riddle(text: str | None) -> bool:
        return re.match(r"(What|Which|Whether|Where|How)\b", inspect.cleandoc(text or "")) is not None

    texts = {**{module.__name__: module.__doc__ for module in MODULES}}
    texts |= {name: value.__doc__ for name, value in CALLABLES.items()}
    for name, value in CALLABLES.items():
        if inspect.isclass(value):
            members = {one: member for one, member in vars(value).items() if not one.startswith("_")}
            texts |= {f"{name}.{one}": getattr(member, "__doc__", None) for one, member in members.items()}
    assert [name for name, text in texts.items() if riddle(text)] == []


EXAMPLES = [module for module in MODULES if ">>> " in Path(module.__file__ or "").read_text(encoding="utf-8")]


def test_examples_run() -> None:
    assert len(EXAMPLES) > 50
    found = {module.__name__: doctest.testmod(module) for module in EXAMPLES}
    assert {name: one for name, one in found.items() if one.failed or not one.attempted} == {}
