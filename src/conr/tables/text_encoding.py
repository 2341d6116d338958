"""The encoding of a CSV file."""

import codecs
from contextlib import suppress
from pathlib import Path

from conr._hints import option

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def found_encoding(path: Path, content: bytes, encoding: str | None) -> str:
    """The name of the encoding of a file's bytes.

    Args:
        path: the file, as messages name it.
        content: its bytes.
        encoding: name; if None, what the byte order mark says, else UTF-8, else Windows-1252.

    Raises:
        ValueError: an unknown encoding, one that does not fit, or no text.
    """
    if encoding is None:
        wide = {0: ["utf-16-be"], 1: ["utf-16-le"]}.get(content[:2].find(b"\0"), []) if len(content) % 2 == 0 else []
        candidates = [name for mark, name in _MARKS.items() if content.startswith(mark)] or wide or ["utf-8", "cp1252"]
    else:
        try:
            candidates = [codecs.lookup(encoding).name]
            with suppress(UnicodeDecodeError):  # of two bytes for a letter
                b"a".decode(encoding)  # rot13 and zip are codecs, but none of texts
        except (LookupError, ValueError):
            raise ValueError(f"encoding: expected the name of an encoding, got {encoding!r}") from None
    plain = encoding is None and content.isascii() and b"\0" not in content
    problem = "it contains zero bytes"
    for candidate in candidates:
        try:
            if not plain and "\0" in content.decode(candidate):
                break
        except UnicodeDecodeError as error:
            problem = f"byte {error.start} does not fit {candidate}"
        else:
            return candidate
    raise ValueError(f"{path}: expected a text file, but {problem} (set {option('encoding')})")
