"""Tables of text, for the page and for Markdown alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from conr.report.tables import escape_markdown


class Entry(NamedTuple):
    """What stands in a cell.

    Attributes:
        text: the value.
        detail: a second value, smaller.
        best: whether it is the best of its column.
        verdict: "better", "worse" or "", the colour of the last of the two.
    """

    text: str
    detail: str = ""
    best: bool = False
    verdict: str = ""


@dataclass(frozen=True)
class TextTable:
    """A table whose first column names its rows.

    Attributes:
        caption: what it shows and how to read it.
        header: titles of the columns, the first column's too.
        parts: titled groups of rows, each row as long as the header; a single group may have an empty title.
        notes: what a reader should know, below the table.
    """

    caption: str
    header: tuple[str, ...]
    parts: tuple[tuple[str, tuple[tuple[Entry, ...], ...]], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """As Markdown: the caption, the table with the group's title as a first column if there are several, notes."""
        several = len(self.parts) > 1
        header = ["", *self.header] if several else list(self.header)
        lines = [self.caption, "", _line(header), "|" + "---|" * len(header)]
        for title, rows in self.parts:
            for row in rows:
                cells = [_markdown(entry) for entry in row]
                lines.append(_line([escape_markdown(title), *cells] if several else cells))
        for note in self.notes:
            lines += ["", escape_markdown(note)]
        return "\n".join(lines) + "\n"


def rows_of(lines: Sequence[Sequence[Entry | str]]) -> tuple[tuple[Entry, ...], ...]:
    """Rows of entries; plain text is an entry without more."""
    return tuple(tuple(Entry(one) if isinstance(one, str) else one for one in line) for line in lines)


def _markdown(entry: Entry) -> str:
    text = escape_markdown(entry.text)
    text = f"**{text}**" if entry.best else text
    return f"{text} ({escape_markdown(entry.detail)})" if entry.detail else text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
