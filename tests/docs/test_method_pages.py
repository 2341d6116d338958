"""Every page of a method answers the same questions: what it needs and keeps, how it works, where it fails."""

import re
from pathlib import Path

import pytest

import conr

METHODS = Path(__file__).parents[2] / "docs" / "methods"
PAGES = sorted(METHODS.glob("*.md"))
CARD = "| plugs in as | cost per batch | learns from the training labels | state in a checkpoint | labels |\n|---|---|"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_idea_card_equation_cost_differences_and_limits(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    intro, card, _ = text.split("\n## ")[0].partition(CARD)
    assert card
    assert "Idea" in sections or len(intro) > 200  # the idea, as a section or as the introduction
    assert re.search(r"^\$\$.+", text, re.MULTILINE)
    for wanted in ("Cost", "Differences", "When it fails"):
        assert any(section.startswith(wanted) for section in sections), f"{page.name} has no section {wanted!r}"


def test_every_method_preset_is_named_on_a_page() -> None:
    names = [path.stem for path in (Path(conr.__file__).parent / "configs" / "methods").glob("*.yaml")]
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"[`-]{name}`", text)] == []
