from pathlib import Path

import pytest
from docs.tables import ROOT, rebuilt

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_table_is_what_its_result_files_say() -> None:
    with_tables = [page for page in PAGES if "<!-- table: " in page.read_text(encoding="utf-8")]
    assert ROOT / "README.md" in with_tables
    for page in with_tables:
        text = page.read_text(encoding="utf-8")
        assert text == rebuilt(text), f"{page.name} is stale: run `make results`"


def test_only_the_text_between_the_marks_changes() -> None:
    text = "before\n<!-- table: results/demo -->\nold\n<!-- /table -->\nafter\n"
    new = rebuilt(text)
    assert new.startswith("before\n<!-- table: results/demo -->\n")
    assert new.endswith("<!-- /table -->\nafter\n")
    assert "old" not in new
    assert "| vanilla |" in new


def test_a_table_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found nothing at"):
        rebuilt("<!-- table: nowhere -->\n<!-- /table -->\n", tmp_path)
