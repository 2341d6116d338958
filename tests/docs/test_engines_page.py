"""The page of the engines says what the benchmarks have measured."""

from benchmarks.engines_page import PAGE, PICTURE, TABLES, cases_at, full, load, over_best, rebuilt

from conr.pairwise.engines import DENSE_COST, MAX_DENSE_BYTES, TILED_START

TEXT = PAGE.read_text(encoding="utf-8")
FLOWING = " ".join(TEXT.split())


def test_tables_are_those_of_the_result_files() -> None:
    assert rebuilt(TEXT) == TEXT
    assert all(f"<!-- engines: {name} -->" in TEXT for name in TABLES)
    assert PICTURE.is_file()


def test_a_changed_number_is_noticed() -> None:
    (case,) = cases_at(n=8192, d=128, share=0.05)
    cell = f"{full(case, 'plain'):,.0f}"
    assert cell in TEXT
    assert rebuilt(TEXT.replace(cell, "1")) == TEXT


def test_the_text_says_how_auto_chooses() -> None:
    assert f"takes {DENSE_COST} times as long as one in a tile" in FLOWING
    assert f"as {TILED_START:,} similarities" in FLOWING
    always, never = int((TILED_START / DENSE_COST) ** 0.5), int((MAX_DENSE_BYTES / 4) ** 0.5)
    assert f"Up to {always} samples" in FLOWING
    assert f"{MAX_DENSE_BYTES // 2**20} MiB for a matrix of similarities (n = {never:,})" in FLOWING


def test_the_text_says_what_was_missed() -> None:
    (small,), (large,) = cases_at(n=128, d=2048, share=0.05), cases_at(n=8192, d=128, share=0.05)
    assert f"of the {full(small, 'dense'):.1f} ms" in FLOWING
    assert f"takes {full(large, 'plain') / 1e3:.1f} s on this machine" in FLOWING
    again = load("engines_scaling")["cases"][0]
    assert f"{full(large, 'windowed'):.0f} ms in that single run, and {full(again, 'windowed'):.0f} ms" in FLOWING
    (late,) = (case for case in load("engine_choice")["cases"] if over_best(case) > 1.15)
    assert f"n = {late['n']:,}, d = {late['d']}" in FLOWING
    assert f"{late['tiled_ms']:.1f} ms, the dense engine {late['dense_ms']:.1f} ms" in FLOWING
