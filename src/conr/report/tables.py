"""Tables of text, which a page, Markdown and a terminal show alike, and numbers as they are printed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

REGION_TITLES = {"all": "all", "many": "many-shot", "median": "median-shot", "few": "few-shot"}
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"

_COLORS = {"better": "green", "worse": "red", "": ""}


class Entry(NamedTuple):
    """Content of a cell."""

    text: str  # the value
    detail: str = ""  # a second value, smaller
    best: bool = False  # whether it is the best of its column
    verdict: str = ""  # "better", "worse" or "", the colour of the last of the two


NOT_RUN = Entry("not run")

Part = tuple[str, tuple[tuple[Entry, ...], ...]]


@dataclass(frozen=True)
class TextTable:
    """A table whose first column names its rows.

    As HTML it is drawn by the macro ``text_table`` of the templates.
    """

    caption: str  # what it shows and how to read it
    header: tuple[Entry, ...]  # titles of the columns, the first column's too
    # titled groups of rows, each row as long as the header; a single group may have an empty title
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()  # what a reader should know, below the table
    # titles of the columns that hold words and begin at the left, as the first one does; numbers end at the right
    words: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        caption: str,
        header: Sequence[Entry | str],
        rows: Iterable[Sequence[Entry | str]] = (),
        *,
        parts: Iterable[tuple[str, Iterable[Sequence[Entry | str]]]] = (),
        notes: Iterable[str] = (),
        words: Iterable[str] = (),
    ) -> "TextTable":
        """Make a table of entries and plain text: of rows without a title, or of parts with one each."""
        groups = parts or [("", rows)]
        return cls(
            caption,
            _entries(header),
            tuple((title, tuple(_entries(row) for row in lines)) for title, lines in groups),
            tuple(notes),
            frozenset(words),
        )

    def markdown(self) -> str:
        """Write it as Markdown: the caption, the table with the groups' titles as first column if several, notes."""
        several = len(self.parts) > 1
        header = [escape_markdown(title.text) for title in self.header]
        lines = [self.caption, "", _line(["", *header] if several else header), "|---" * (len(header) + several) + "|"]
        for title, rows in self.parts:
            for row in rows:
                cells = [_markdown(entry) for entry in row]
                lines.append(_line([escape_markdown(title), *cells] if several else cells))
        for note in self.notes:
            lines += ["", escape_markdown(note)]
        return "\n".join(lines) + "\n"

    def terminal(self) -> "Table":
        """Make it a table that `rich.console.Console.print` shows; brackets in names are no markup."""
        from rich.table import Table  # noqa: PLC0415  for terminals alone
        from rich.text import Text  # noqa: PLC0415

        caption = Text("\n".join(self.notes), style="table.caption") if self.notes else None
        table = Table(title=Text(self.caption, style="table.title") if self.caption else None, caption=caption)
        for number, column in enumerate(self.header):
            left = number == 0 or column.text in self.words
            table.add_column(_terminal(column), justify="left" if left else "right")
        for title, rows in self.parts:
            table.add_section()
            if title and len(self.parts) > 1:
                table.add_row(Text(title, style="bold"))
            for row in rows:
                table.add_row(*map(_terminal, row))
        return table


def number_text(value: float, decimals: int) -> str:
    """A number with so many decimals; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.{decimals}f}".replace("-", MINUS)


def signed_text(value: float, decimals: int) -> str:
    """A number with its sign, zero without one; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    text = f"{abs(value):.{decimals}f}"
    return text if float(text) == 0 else f"{MINUS if value < 0 else '+'}{text}"


def percent_text(share: float) -> str:
    """A signed share in percent; a dash for NaN."""
    return NOTHING if math.isnan(share) else f"{signed_text(share * 100, 1)} %"


def significant_text(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits; a dash for None and NaN."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.{digits}g}"


def seeds_text(count: int) -> str:
    """So many seeds, in words."""
    return f"{count} seed{'' if count == 1 else 's'}"


def join_words(parts: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def with_unit(quantity: str, unit: str) -> str:
    """A quantity with its unit in brackets, if it has one, as an axis is titled."""
    return f"{quantity} ({unit})" if unit else quantity


def escape_markdown(text: str) -> str:
    """Text as a Markdown table holds it."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _entries(line: Sequence[Entry | str]) -> tuple[Entry, ...]:
    return tuple(Entry(one) if isinstance(one, str) else one for one in line)


def _markdown(entry: Entry) -> str:
    text = escape_markdown(entry.text)
    text = f"**{text}**" if entry.best else text
    return f"{text} ({escape_markdown(entry.detail)})" if entry.detail else text


def _terminal(entry: Entry) -> "Text":
    from rich.text import Text  # noqa: PLC0415

    color = _COLORS[entry.verdict]
    if not entry.detail:
        return Text(entry.text, style="bold" if entry.best else color)
    return Text.assemble((entry.text, "bold" if entry.best else ""), "\n", (entry.detail, color))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
