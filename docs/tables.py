"""Rebuild every table and picture of results in the README and the docs from committed result files: ``make results``.

A table stands between ``<!-- KIND: PATHS -->`` and ``<!-- /KIND -->``; PATHS are folders with result files below the
project's root. KIND is ``table`` (headline metric of each dataset), one of the tables of a comparison (``grid``,
``paired``, ``where``, ``ranks``, ``cost``, ``published``), ``trade-off`` for a picture per dataset, which goes to
``docs/images/PAGE/``, one of the tables of a single page, whose path is a file or folder (``estimator``,
``estimator-defaults``, ``memory``, ``sts-b-metrics``, ``sts-b-tuning``, ``dense-memory``, ``start``, ``demo-epochs``,
``claims`` and ``rare-means`` and their kin), or ``engines``, a table of `benchmarks.engines_page` by its name. A
number within a sentence stands between ``<!-- change: PATH DATASET METHOD METHOD -->`` and ``<!-- /change -->``; see
`docs.page_tables.change`.
``--check`` changes nothing and fails if a table is not what its files say.
"""

import os
import re
import sys
from pathlib import Path

from benchmarks import engines_page

from conr.report import comparison_markdown, load_runs, summary_markdown, trade_off_pictures
from conr.report.comparison import TABLES
from docs import claims_tables, estimator_tables, memory_table, page_tables, rare_tables

ROOT = Path(__file__).parents[1]
_PICTURES = "trade-off"
_OF_FILES = {
    "estimator": estimator_tables.comparison,
    "estimator-defaults": estimator_tables.defaults,
    "memory": memory_table.comparison,
    "sts-b-metrics": page_tables.sts_b_metrics,
    "sts-b-tuning": page_tables.sts_b_tuning,
    "dense-memory": page_tables.dense_memory,
    "start": page_tables.start,
    "demo-epochs": page_tables.demo_epochs,
    "claims": claims_tables.comparison,
    "claims-added": claims_tables.added,
    "claims-frontiers": claims_tables.frontier,
    "claims-features": claims_tables.features,
    "claims-ablations": claims_tables.ablations,
    "claims-ideas": claims_tables.ideas,
    **rare_tables.KINDS,
}
_KINDS = "|".join(("table", *TABLES, *_OF_FILES, _PICTURES))
_TABLE = re.compile(
    rf"(<!-- (?P<kind>{_KINDS}): (?P<paths>[^>]+?) -->\n).*?(<!-- /(?P=kind) -->)",
    re.DOTALL,
)
_CHANGE = re.compile(r"(<!-- change: (?P<path>\S+) (?P<of>[^>]+?) -->).*?(<!-- /change -->)", re.DOTALL)


def rebuilt(text: str, root: Path = ROOT, page: Path | None = None) -> str:
    """The text with all its tables made anew, and with links to its pictures.

    Args:
        text: Markdown.
        root: below which the paths of the marks are.
        page: the file of the text, from which pictures are linked; the README if None.

    Raises:
        FileNotFoundError: a table's folder has no result files.
    """

    def table(match: re.Match[str]) -> str:
        paths = [root / path for path in match["paths"].split()]
        if match["kind"] == "table":
            made = summary_markdown(paths)
        elif match["kind"] in _OF_FILES:
            made = _OF_FILES[match["kind"]](paths[0])
        elif match["kind"] == _PICTURES:
            made = _links(paths, root, page or root / "README.md")
        else:
            made = comparison_markdown(paths, match["kind"])
        return f"{match[1]}\n{made}\n{match[4]}"

    def change(match: re.Match[str]) -> str:
        return f"{match[1]}{page_tables.change(root / match['path'], *match['of'].split())}{match[4]}"

    return engines_page.rebuilt(_CHANGE.sub(change, _TABLE.sub(table, text)))


def draw_pictures(text: str, page: Path, root: Path = ROOT) -> list[Path]:
    """Draw the pictures that a page shows and return their files."""
    marks = [match for match in _TABLE.finditer(text) if match["kind"] == _PICTURES]
    folder = _folder(root, page)
    return [
        file for match in marks for file in trade_off_pictures([root / path for path in match["paths"].split()], folder)
    ]


def _links(paths: list[Path], root: Path, page: Path) -> str:
    folder = os.path.relpath(_folder(root, page), page.parent)
    names = [group.dataset for group in load_runs(paths)]
    return "".join(f"![{name}: few-shot over many-shot error]({folder}/{name}.png)\n" for name in names)


def _folder(root: Path, page: Path) -> Path:
    return root / "docs" / "images" / page.stem


def main() -> int:
    """Rebuild or check all Markdown files; the exit status is 1 if a check fails."""
    stale = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        before = page.read_text(encoding="utf-8")
        after = rebuilt(before, page=page)
        if "--check" not in sys.argv:
            draw_pictures(after, page)
            if page == engines_page.PAGE:
                engines_page.draw()
            if page.name == "claims.md":
                for folder in sorted((ROOT / "results" / "claims").iterdir()):
                    claims_tables.draw(folder, _folder(ROOT, page))
        if before != after:
            stale.append(str(page.relative_to(ROOT)))
            if "--check" not in sys.argv:
                page.write_text(after, encoding="utf-8")
    print("\n".join(stale) or "all tables are what their result files say")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
