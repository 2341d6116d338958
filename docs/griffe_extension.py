"""Extension of griffe, which reads the source for the reference: section `Example:`, and names loaded at first use."""

import re
from typing import Any

from griffe import Extension, Module, Object

_EXAMPLE = re.compile(r"^( *)Example:[ ]*$", re.MULTILINE)
_LOADER = "lazy_package"


class ReadReference(Extension):
    """Loaded by mkdocstrings before it reads the sections of docstrings."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Show the section `Example:` of a docstring as code; the parser knows the plural alone."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Let the names in the stub of a package count as its ``__all__``, which is made when it is imported."""
        for module in (pkg, *pkg.modules.values()):
            if _LOADER in module.members:
                module.exports = [name for name, one in module.members.items() if one.is_alias and name != _LOADER]
