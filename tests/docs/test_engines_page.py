"""The page of the engines says what the benchmarks have measured."""

from benchmarks.engines_page import PAGE, PICTURE, TABLES, cases_at, full, grid, over_best_engine, rebuilt

TEXT = PAGE.read_text(encoding="utf-8")


def test_tables_are_those_of_the_result_files() -> None:
    assert rebuilt(TEXT) == TEXT
    assert all(f"<!-- engines: {name} -->" in TEXT for name in TABLES)
    assert PICTURE.is_file()


def test_a_changed_number_is_noticed() -> None:
    (case,) = cases_at(n=8192, d=128, share=0.05)
    cell = f"| {full(case, 'plain'):,.0f} |"
    assert cell in TEXT
    assert rebuilt(TEXT.replace(cell, "| 1 |")) == TEXT


def test_auto_is_near_the_best_engine_on_the_grid() -> None:
    assert max(over_best_engine(case) for case in grid() if case["times"]) <= 1.15
