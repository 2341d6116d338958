import re
from functools import cache
from pathlib import Path

import pytest
from docs.tables import ROOT, draw_pictures, rebuilt

from conr.runs.runs import read_runs, write_runs

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARK = re.compile(r"<!-- /([a-z-]+) -->")


def test_every_number_between_marks_is_what_its_result_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    read = cache(read_runs)  # many tables have the same files
    monkeypatch.setattr("conr.report.aggregate.read_runs", lambda paths: [*read(tuple(paths))])
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found |= set(MARK.findall(text))
        # A changed number is noticed, in a table or a sentence: what stands between marks is made anew.
        broken = re.sub(r"(<!-- ([a-z-]+): [^>]+ -->\n).*?(<!-- /\2 -->)", r"\1\3", text, flags=re.DOTALL)
        broken = re.sub(r"(<!-- change: [^>]+ -->).*?<", r"\1?<", broken)
        assert rebuilt(broken, page=page) == text, f"{page.name} is stale: run `make results`"
    assert found >= {
        "table",
        "grid",
        "trade-off",
        "estimator",
        "memory",
        "sts-b-metrics",
        "dense-memory",
        "engines",
        "change",
    }


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


def test_all_kinds_of_tables(tmp_path: Path) -> None:
    """Each mark becomes what its kind says, links lead to the pictures that are drawn, and nothing changes twice."""
    for name, source in (("abalone", "grid"), ("rotated-digits", "demo")):
        runs = [run for run in read_runs([ROOT / "results" / source]) if run.result.dataset == name]
        chosen = [run for run in runs if run.result.method in ("vanilla", "conr", "sqinv", "sqinv+conr")]
        write_runs(tmp_path / "results" / f"{name}.runs.jsonl", chosen)
    page = tmp_path / "docs" / "how-to" / "what-works.md"
    marks = "\n".join(
        f"<!-- {kind}: results -->\n<!-- /{kind} -->"
        for kind in ("table", "grid", "paired", "where", "ranks", "cost", "published", "trade-off")
    )
    text = rebuilt(marks, tmp_path, page)
    assert "MAE. Mean ± standard deviation over seeds; the best mean of a column is bold." in text
    assert "| few-shot | sqinv → sqinv+conr |" in text
    assert "Nemenyi's critical difference" in text
    assert "| sqinv+conr | 1." in text
    assert "| SRL | published (B) |" in text
    assert "![abalone: few-shot over many-shot error](../images/what-works/abalone.png)\n" in text
    assert rebuilt(text, tmp_path, page) == text
    drawn = draw_pictures(text, page, tmp_path)
    linked = [(page.parent / path).resolve() for path in re.findall(r"!\[.*?\]\((.*?)\)", text)]
    assert linked == [path.resolve() for path in drawn]
    assert all(path.is_file() for path in linked)


def test_another_kind_s_end_does_not_close_a_table() -> None:
    text = "<!-- ranks: results/demo -->\n<!-- /table -->\n"
    assert rebuilt(text) == text
