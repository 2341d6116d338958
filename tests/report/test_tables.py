"""One table in its three forms: Markdown, a terminal, a page."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from conr.report.style import write_page
from conr.report.tables import NOTHING, Entry, TextTable, join_words, percent_text, significant_text

TABLE = TextTable.of(
    "What [/b] it <shows>",
    ("name", Entry("many-shot", "3 samples"), "said"),
    parts=[
        ("first", [["a|b", Entry("1.0", "-5 %", best=True, verdict="better"), "[/i] so"]]),
        ("second", [["c", Entry("2.0", verdict="worse"), "<so>"]]),
    ],
    notes=["mind [/b] this"],
    words=["said"],
)


def test_markdown() -> None:
    assert TABLE.markdown().splitlines() == [
        "What [/b] it <shows>",
        "",
        "|  | name | many-shot | said |",
        "|---|---|---|---|",
        "| first | a\\|b | **1.0** (-5 %) | [/i] so |",
        "| second | c | 2.0 | &lt;so> |",
        "",
        "mind [/b] this",
    ]


def test_terminal() -> None:
    console = Console(width=60, record=True, force_terminal=True, legacy_windows=False)
    console.print(TABLE.terminal())
    styled = console.export_text(clear=False, styles=True)
    assert re.search(r"\x1b\[1m *1\.0", styled)  # bold
    assert re.search(r"\x1b\[32m *-5 %", styled)  # green
    assert re.search(r"\x1b\[31m *2\.0", styled)  # red
    words = [word for word in console.export_text().split() if word[0] not in "│┃┏┡├└━─"]
    assert " ".join(words) == (
        "What [/b] it <shows> many-shot name 3 samples said first a|b 1.0 [/i] so -5 % second c 2.0 <so> mind [/b] this"
    )


def test_page(tmp_path: Path) -> None:
    found = SimpleNamespace(title="", split="test", trained=SimpleNamespace(labels=[]))
    empty: dict[str, Any] = dict.fromkeys(("label", "data", "distribution", "maps", "collapse", "rare", "worst"), ())
    values = empty | {"found": found, "gaps": TABLE, "colors": {"c": "#123456"}}
    page = write_page(tmp_path / "page.html", "explanation.html.j2", **values).read_text()
    table = re.sub(r"\s+", " ", page[page.index("<thead>") : page.index("</table>")])
    assert '<th scope="col"><span class="mark" style="background:#c6b9e6"></span>many-shot<small>3 samples' in table
    assert '<td class="best">1.0<small class="better">-5 %</small></td> <td class="text">[/i] so</td>' in table
    assert '<tr><th scope="rowgroup" colspan="3">second</th></tr>' in table
    assert '<span class="mark" style="background:#123456"></span>c</th> <td class="worse">2.0</td>' in table
    assert '<td class="text">&lt;so&gt;</td>' in table
    assert '<p class="quiet">mind [/b] this</p>' in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (percent_text(-0.0512), "\N{MINUS SIGN}5.1 %"),
        (percent_text(0.0), "0.0 %"),
        (percent_text(float("nan")), NOTHING),
        (significant_text(0.012345), "0.0123"),
        (significant_text(None), NOTHING),
        (join_words(["a"]), "a"),
        (join_words(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_and_words(text: str, expected: str) -> None:
    assert text == expected
