import re
from pathlib import Path

import pytest

from conr.cli.main import VERBS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other, in an empty folder, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)  # noqa: S102  our own pages


def test_the_readme_has_the_use_in_ones_own_loop() -> None:
    assert ROOT / "README.md" in WITH_PYTHON


def test_commands_exist() -> None:
    known = {"make": re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE), "conr": list(VERBS)}
    typed = [
        (page.name, *line.split()[:2])
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
        if line.split()[:1] in (["make"], ["conr"])
    ]
    assert len(typed) > 50
    assert [one for one in typed if one[-1] not in known[one[1]]] == []
