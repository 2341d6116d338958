"""The page of the engines says what the benchmarks have measured."""

from benchmarks.engines_page import (
    PAGE,
    PICTURE,
    TABLES,
    cases_at,
    full,
    grid,
    load,
    over_best,
    over_best_engine,
    rebuilt,
)

from conr.pairwise.engines import (
    DENSE_PASSES,
    KEPT,
    KEPT_PRODUCT,
    LARGE_PAIRS,
    MAX_DENSE_BYTES,
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
    assert f"with {2 * TILE_PASSES} in place of {TILE_PASSES} for several label dimensions" in FLOWING
    tile = f"({TILE_PASSES} + {TILE_PRODUCT} d) for each similarity in a tile, {KEPT_PRODUCT} d less if it is kept"
    assert tile in FLOWING
    assert f"{TILED_START:,} for what tiles cost besides" in FLOWING
    always, never = int((TILED_START / (DENSE_PASSES + 128)) ** 0.5), int((MAX_DENSE_BYTES / 4) ** 0.5)
    assert f"With d = 128, up to {always} samples" in FLOWING
    assert f"{MAX_DENSE_BYTES // 2**20} MiB for a matrix of similarities (n = {never:,})" in FLOWING


def test_the_text_says_what_stands_behind_the_aims() -> None:
    (large,) = cases_at(n=8192, d=128, share=0.05)
    found = f"the plain form takes {full(large, 'plain'):,.0f} ms, the windowed engine {full(large, 'windowed'):.0f}"
    assert found in FLOWING
    assert f"up to {KEPT} n d numbers are kept" in FLOWING
    assert f"From {LARGE_PAIRS**0.5:.0f}² pairs on" in FLOWING
    two, eight = (case for case in load("freed_memory")["cases"] if case["n"] >= 2048 and case["d"] == 128)
    assert f"takes {two['kept_ms']:.1f} ms instead of {two['given_back_ms']:.1f}" in FLOWING
    assert f"n = 8,192 {eight['kept_ms']:.0f} instead of {eight['given_back_ms']:.0f}" in FLOWING
    (wide,) = (case for case in load("freed_memory")["cases"] if (case["n"], case["d"]) == (8192, 512))
    assert f"({wide['kept_ms']:.0f} against {wide['given_back_ms']:.0f})" in FLOWING


def test_the_text_says_what_the_smallest_batch_depends_on() -> None:
    first, *_, last = load("conr_loss")["cases"]
    assert (first["n"], first["d"]) == (last["n"], last["d"]) == (128, 2048)
    assert not first["memory_is_kept"]
    assert last["memory_is_kept"]
    ratios = [case["plain_over_ours"] for case in (first, last)]
    assert f"it is {ratios[0]:.1f} in a process that has seen no larger batch and {ratios[1]:.1f} in one" in FLOWING


def test_the_text_says_where_the_choice_is_far_from_the_best() -> None:
    cases = load("engine_choice")["cases"]
    late = sorted((case for case in cases if over_best(case) > 1.15), key=over_best, reverse=True)
    assert [(case["n"], case["n"] + case["others"]) for case in late] == [(1024, 5120), (1024, 2048)]
    assert all((case["d"], case["share"]) == (128, 0.2) for case in late)
    assert f"two of {len(cases)} batches" in FLOWING
    first, second = (f"{over_best(case) - 1:.0%}".replace("%", " %") for case in late)
    assert f"1,024 anchors with 5,120 candidates {first}, with 2,048 candidates {second}" in FLOWING
    assert max(over_best_engine(case) for case in grid() if case["times"]) <= 1.15
