"""Rebuild every table of the README and the docs from committed result files: ``make results``.

A table stands between ``<!-- table: PATHS -->`` and ``<!-- /table -->``; PATHS are folders with result files below the
project's root. ``--check`` changes nothing and fails if a table is not what its files say.
"""

import re
import sys
from pathlib import Path

from conr.report import summary_markdown

ROOT = Path(__file__).parents[1]
_TABLE = re.compile(r"(<!-- table: (?P<paths>[^>]+?) -->\n).*?(<!-- /table -->)", re.DOTALL)


def rebuilt(text: str, root: Path = ROOT) -> str:
    """The text with all its tables made anew.

    Raises:
        FileNotFoundError: a table's folder has no result files.
    """

    def table(match: re.Match[str]) -> str:
        paths = [root / path for path in match["paths"].split()]
        return f"{match[1]}\n{summary_markdown(paths)}\n{match[3]}"

    return _TABLE.sub(table, text)


def main() -> int:
    """Rebuild or check all Markdown files; the exit status is 1 if a check fails."""
    stale = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        before = page.read_text(encoding="utf-8")
        after = rebuilt(before)
        if before != after:
            stale.append(str(page.relative_to(ROOT)))
            if "--check" not in sys.argv:
                page.write_text(after, encoding="utf-8")
    print("\n".join(stale) or "all tables are what their result files say")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
