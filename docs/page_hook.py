"""Formulas as MathML; cells, code and pictures marked for the style sheet. The site needs no script from elsewhere."""

import html
import re
import struct
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL)
_CELL = re.compile(r"<(t[hd])( style=\"[^\"]*\")?>(.*?)</\1>", re.DOTALL)
_PICTURES = re.compile(r"<p>((?:<img [^>]*>\s*)+)</p>")
_IMAGE = re.compile(r'<img [^>]*src="([^"]+)"[^>]*>')
_CODE = re.compile(r"(?<!</span>)<code>([^<\n]{1,26})</code>")
_TAG = re.compile(r"<math.*?</math>|<[^>]*>", re.DOTALL)

_SHORT, _LONG = 22, 60  # characters
_WIDE = 1.8  # width over height, from which on a picture is too small on a phone


def on_page_content(text: str, page: Any, config: Any, **_: Any) -> str:
    """Called by MkDocs with the HTML of each page."""
    folder = (Path(config.docs_dir) / page.file.src_path).parent
    text = _FORMULA.sub(_formula, text)
    text = _CELL.sub(_cell, text)
    text = _CODE.sub(r'<code class="short">\1</code>', text)
    return _PICTURES.sub(lambda match: _pictures(match, folder), text)


def _formula(match: re.Match[str]) -> str:
    block = match[3] is not None
    math: str = convert(html.unescape(match[3] if block else match[2]), display="block" if block else "inline")
    return f'<div class="formula">{math}</div>' if block else math


def _cell(match: re.Match[str]) -> str:
    """A number, a name or a unit must not break; a sentence must not become a column of single words."""
    length = len(html.unescape(_TAG.sub("", match[3])).strip())
    width = "short" if length <= _SHORT else "long" if length > _LONG else "middle"
    return f'<{match[1]}{match[2] or ""} class="{width}">{match[3]}</{match[1]}>'


def _pictures(match: re.Match[str], folder: Path) -> str:
    boxes = [
        f'<div class="picture{" wide" if _is_wide(folder / found[1]) else ""}">{found[0]}</div>'
        for found in _IMAGE.finditer(match[1])
    ]
    return boxes[0] if len(boxes) == 1 else f'<div class="pictures">{"".join(boxes)}</div>'


def _is_wide(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{path}: expected a PNG file, got another")
    width, height = struct.unpack(">II", head[16:])
    return bool(width > _WIDE * height)
