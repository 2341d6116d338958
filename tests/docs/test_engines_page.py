"""The page of the engines says what the benchmarks have measured."""

from benchmarks.engines_page import PAGE, PICTURE, TABLES, cases_at, full, load, over_best, rebuilt

from conr.pairwise.engines import (
    DENSE_PASSES,
    LARGE_DENSE_BYTES,
    MAX_DENSE_BYTES,
    NEW_MEMORY,
    TILE_PASSES,
    TILE_PRODUCT,
    TILED_START,
)

TEXT = PAGE.read_text(encoding="utf-8")
FLOWING = " ".join(TEXT.split())


def test_tables_are_those_of_the_result_files() -> None:
    assert rebuilt(TEXT) == TEXT
    assert all(f"<!-- engines: {name} -->" in TEXT for name in TABLES)
    assert PICTURE.is_file()


def test_a_changed_number_is_noticed() -> None:
    (case,) = cases_at(n=8192, d=128, share=0.05)
    cell = f"| {full(case, 'plain'):,.0f} |"
    assert cell in TEXT
    assert rebuilt(TEXT.replace(cell, "| 1 |")) == TEXT


def test_the_text_says_how_auto_chooses() -> None:
    assert f"({DENSE_PASSES} + d) for each of all pairs in the dense engine" in FLOWING
    assert f"{NEW_MEMORY} more where their matrix is larger than {LARGE_DENSE_BYTES // 2**20} MiB" in FLOWING
    assert f"with {2 * TILE_PASSES} in place of {TILE_PASSES} for several label dimensions" in FLOWING
    assert f"({TILE_PASSES} + {TILE_PRODUCT} d) for each similarity in a tile" in FLOWING
    assert f"{TILED_START:,} for what tiles cost besides" in FLOWING
    always, never = int((TILED_START / (DENSE_PASSES + 128)) ** 0.5), int((MAX_DENSE_BYTES / 4) ** 0.5)
    assert f"With d = 128, up to {always} samples" in FLOWING
    assert f"{MAX_DENSE_BYTES // 2**20} MiB for a matrix of similarities (n = {never:,})" in FLOWING


def test_the_text_says_what_was_missed() -> None:
    times = load("conr_loss")["cases"][0]["times"]
    ours, plain, products = (times[form]["full"]["median_ms"] for form in ("conr_loss", "plain", "two_products"))
    assert f"{plain / ours:.1f} in `benchmarks/results/conr_loss.json`" in FLOWING
    assert f"ConR takes {ours:.1f} ms and two products of matrices alone" in FLOWING
    assert f"which nothing can spare, take {products:.1f}." in FLOWING
    (large,) = cases_at(n=8192, d=128, share=0.05)
    found = f"the plain form takes {full(large, 'plain'):,.0f} ms, the windowed engine {full(large, 'windowed'):.0f}"
    assert found in FLOWING
    late = [case for case in load("engine_choice")["cases"] if over_best(case) > 1.15]
    assert [(case["n"], case["n"] + case["others"]) for case in late] == [(1024, 2048)]
    assert "one of 176 batches (1,024 anchors and 2,048 candidates)" in FLOWING
    assert f"takes {over_best(late[0]) - 1:.1%} longer".replace("%", " %") in FLOWING
