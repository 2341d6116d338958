"""Extension of griffe, which reads the source for the reference.

It knows the section `Example:`, names loaded at first use, and arguments that a class hands on to its base.
"""

import re
from collections.abc import Iterator
from typing import Any

from griffe import Class, Docstring, Extension, Module, Object

_EXAMPLE = re.compile(r"^( *)Example:[ ]*$", re.MULTILINE)
_ARGUMENTS = re.compile(r"^Args:\n(?P<entries>(?: {4}.*\n?)+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^ {4}(?P<name>\w+): .*\n?(?: {8}.*\n?)*", re.MULTILINE)
_LOADER = "lazy_package"


class ReadReference(Extension):
    """Loaded by mkdocstrings before it reads the sections of docstrings."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Show the section `Example:` of a docstring as code; the parser knows the plural alone."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Let the names in the stub of a package count as its ``__all__``, and classes have all their arguments."""
        for module in (pkg, *pkg.modules.values()):
            if _LOADER in module.members:
                module.exports = [name for name, one in module.members.items() if one.is_alias and name != _LOADER]
        for one in _classes(pkg):
            _add_inherited_arguments(one)


def _classes(module: Module) -> Iterator[Class]:
    for member in module.members.values():
        if isinstance(member, Module):
            yield from _classes(member)
        elif isinstance(member, Class):
            yield member


def _add_inherited_arguments(one: Class) -> None:
    if one.docstring is None:
        return
    inherited: dict[str, str] = {}
    for base in reversed(one.mro()):
        inherited |= _arguments(base.docstring)
    known = {parameter.name for parameter in one.parameters} or inherited.keys()
    own = _arguments(one.docstring)
    entries = "".join(f"{text.rstrip()}\n" for name, text in inherited.items() if name in known and name not in own)
    text = one.docstring.value
    section = _ARGUMENTS.search(text)
    if entries and section is not None:
        one.docstring.value = f"{text[: section.end()].rstrip()}\n{entries}{text[section.end() :]}"
    elif entries:
        one.docstring.value = f"{text}\n\nArgs:\n{entries}"


def _arguments(docstring: Docstring | None) -> dict[str, str]:
    section = None if docstring is None else _ARGUMENTS.search(docstring.value)
    return {} if section is None else {found["name"]: found[0] for found in _ARGUMENT.finditer(section["entries"])}
