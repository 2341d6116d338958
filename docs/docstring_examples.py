"""Docstrings as the reference shows them: the section `Example:` as code. The parser knows the plural alone."""

import re
from typing import Any

from griffe import Extension, Object

_EXAMPLE = re.compile(r"^( *)Example:[ ]*$", re.MULTILINE)


class DocstringExamples(Extension):
    """Loaded by mkdocstrings before it reads the sections."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called with each object that was found."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
