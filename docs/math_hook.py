"""Formulas of a page as MathML: browsers draw it themselves, so the site needs no script from elsewhere."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL)


def on_page_content(text: str, **_: Any) -> str:
    """Called by MkDocs with the HTML of each page."""

    def formula(match: re.Match[str]) -> str:
        block = match[3] is not None
        math: str = convert(html.unescape(match[3] if block else match[2]), display="block" if block else "inline")
        return f'<div style="overflow-x:auto">{math}</div>' if block else math

    return _FORMULA.sub(formula, text)
