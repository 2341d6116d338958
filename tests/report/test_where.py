import math
from collections.abc import Callable
from pathlib import Path

from conr.report import comparison_markdown, load_runs
from conr.report.where import dataset_changes, where_sentences, where_table

MINUS = "\N{MINUS SIGN}"
MakeRun = Callable[..., Path]  # the fixture make_run


def runs(make_run: MakeRun, method: str, few: list[float | None], dataset: str = "digits") -> None:
    for seed, error in enumerate(few):
        make_run(method, seed, (10.0, 4.0, 8.0, error), dataset=dataset, kept=False)


def test_change_is_the_median_over_seeds_and_clear_if_all_agree(make_run: MakeRun, tmp_path: Path) -> None:
    runs(make_run, "vanilla", [30.0, 30.0, 30.0])
    runs(make_run, "conr", [10.0, 20.0, 29.0])
    runs(make_run, "lds", [20.0, 20.0, 20.0])
    runs(make_run, "lds+conr", [10.0, 30.0, 20.0])
    (group,) = load_runs([tmp_path])
    plain, lds = dataset_changes(group, "few")
    assert (plain.method, plain.lower, plain.higher, plain.seeds, plain.clear) == ("vanilla", 3, 0, 3, True)
    assert math.isclose(plain.median, (20 - 30) / 25)
    assert (lds.method, lds.lower, lds.higher, lds.median, lds.clear) == ("lds", 1, 1, 0.0, False)
    (sentence,) = where_sentences([group], "few")
    assert sentence == (
        f"digits: conr lowers the few-shot error of 1 of 2 methods (median change {MINUS}20.0 %). All seeds agree that "
        "it falls with vanilla."
    )
    assert "falls or rises with none of them" in where_sentences([group], "all")[0]  # all errors are equal there


def test_one_seed_is_not_clear_and_undefined_errors_make_no_pair(make_run: MakeRun, tmp_path: Path) -> None:
    runs(make_run, "vanilla", [30.0], "one")
    runs(make_run, "conr", [40.0], "one")
    runs(make_run, "vanilla", [None, None], "none")
    runs(make_run, "conr", [30.0, 30.0], "none")
    none, one = load_runs([tmp_path])
    assert [change.clear for change in dataset_changes(one, "few")] == [False]
    assert [change.seeds for change in dataset_changes(none, "few")] == [0]
    assert len(where_sentences([none, one], "few")) == 1


def test_table_has_a_column_per_dataset_and_marks_what_all_seeds_lower(make_run: MakeRun, tmp_path: Path) -> None:
    runs(make_run, "vanilla", [30.0, 30.0])
    runs(make_run, "conr", [10.0, 20.0])
    runs(make_run, "vanilla", [30.0, 30.0], "rings")
    runs(make_run, "conr", [31.0, 33.0], "rings")
    table = where_table(load_runs([tmp_path]))
    assert table is not None
    assert table.header == ("method", "digits", "rings")
    (title, ((name, digits, rings),)), *_ = table.parts
    assert (title, name.text) == ("few-shot", "vanilla")
    assert (digits.text, digits.detail, digits.best, digits.verdict) == (f"{MINUS}70.0 %", "2 of 2", True, "better")
    assert (rings.text, rings.detail, rings.best, rings.verdict) == ("+6.4 %", "0 of 2", False, "worse")
    markdown = comparison_markdown([tmp_path], "where")
    assert markdown.startswith("- digits: conr lowers")
    assert f"**{MINUS}70.0 %** (2 of 2)" in markdown


def test_without_pairs_there_is_no_table(make_run: MakeRun, tmp_path: Path) -> None:
    runs(make_run, "vanilla", [30.0])
    assert where_table(load_runs([tmp_path])) is None
    assert "No paired tests" in comparison_markdown([tmp_path], "where")
