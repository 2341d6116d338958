import math
from collections.abc import Callable
from pathlib import Path

import pytest

from conr.report import comparison_markdown, load_runs
from conr.report.paired import (
    changes_sentences,
    changes_table,
    dataset_changes,
    method_pairs,
    paired_table,
    paired_tests,
    relative_difference,
    without_part,
)

MakeRun = Callable[..., Path]  # the fixture make_run
MINUS = "\N{MINUS SIGN}"


def rows(folder: Path) -> dict[tuple[str, str], list[str]]:
    """Printed cells by region title and method."""
    table = paired_table(load_runs([folder]))
    assert table is not None
    return {(title, row[0].text): [entry.text for entry in row] for title, part in table.parts for row in part}


def test_names() -> None:
    assert without_part("lds+conr+fds") == "lds+fds"
    assert without_part("conr") == ""
    assert without_part("conr-pixel") is None
    methods = ["vanilla", "conr", "lds", "conr+lds", "fds+lds", "lds+conr+fds", "srl+conr", "conr-pixel"]
    assert method_pairs(methods) == [("vanilla", "conr"), ("fds+lds", "lds+conr+fds"), ("lds", "conr+lds")]
    assert method_pairs(["conr", "lds"]) == []  # no plain method to compare with


def test_relative_difference_is_fair_to_both_directions() -> None:
    assert relative_difference(10.0, 5.0) == -relative_difference(5.0, 10.0) == pytest.approx(-2 / 3)
    assert relative_difference(1e6, 0.9e6) == pytest.approx(relative_difference(1.0, 0.9))
    assert relative_difference(0.0, 0.0) == 0
    assert relative_difference(0.0, 3.0) == 2


def test_two_datasets_of_different_units(make_run: MakeRun, tmp_path: Path) -> None:
    """Six pairs in units of 10 and of 1/100: all lower by 10 %, the few-shot error by half, many-shot twice as high."""
    for dataset, size in (("digits", 10.0), ("tablet", 0.01)):
        for seed in range(3):
            scale = size * (1 + 0.1 * seed)
            make_run("vanilla", seed, (scale, scale, scale, scale), dataset=dataset)
            make_run("conr", seed, (0.9 * scale, 2 * scale, scale, 0.5 * scale), dataset=dataset)
    found = {test.region: test for test in paired_tests(load_runs([tmp_path]))}
    for region, median, wins in (("all", -0.2 / 1.9, 6), ("few", -2 / 3, 6), ("many", 2 / 3, 0)):
        assert found[region].median == pytest.approx(median)
        assert found[region].outcome[:3] == (wins, 0, 6 - wins)
        assert found[region].outcome.p == found[region].corrected_p == 0.03125
        assert (found[region].better, found[region].datasets) == (wins // 3, 2)
    cells = rows(tmp_path)
    few = ["vanilla → conr", "lower error", "6 / 0 / 0", "2 of 2", f"{MINUS}66.7 %", f"{MINUS}1.00", "0.031", "0.031"]
    assert cells["few-shot", "vanilla → conr"] == few
    assert cells["many-shot", "vanilla → conr"][1] == "higher error"


def test_holm_over_methods(make_run: MakeRun, tmp_path: Path) -> None:
    """Two methods with p = 1/32 each: both become 1/16, above 0.05; a third with too few pairs does not count."""
    for seed in range(6):
        for method in ("vanilla", "lds"):
            make_run(method, seed, (10.0 + seed, 4.0, 8.0, 30.0))
        for method in ("conr", "lds+conr"):
            make_run(method, seed, (9.0 + seed, 4.0, 8.0, 30.0))
    make_run("fds", 0)
    make_run("fds+conr", 0, (9.0, 4.0, 8.0, 30.0))
    cells = rows(tmp_path)
    assert cells["all", "lds → lds+conr"][-2:] == ["0.031", "0.062"]
    assert cells["all", "lds → lds+conr"][1] == "no difference found"
    assert cells["all", "fds → fds+conr"][1] == "too few pairs: 1 differ, 6 are needed"
    assert cells["few-shot", "vanilla → conr"][1:3] == ["too few pairs: 0 differ, 6 are needed", "0 / 6 / 0"]


def test_what_is_missing_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    """Seed 1 lacks the few-shot error of one, seed 2 one of the runs, rings the combined method; a run has no seed."""
    make_run("vanilla", 0)
    make_run("conr", 0)
    make_run("vanilla", 1, (10.0, 4.0, 8.0, None))
    make_run("conr", 1)
    make_run("vanilla", 2)
    make_run("conr", None)
    make_run("vanilla", 0, dataset="rings")
    groups = load_runs([tmp_path])
    few = next(test for test in paired_tests(groups) if test.region == "few")
    assert (few.outcome.ties, few.datasets, few.better, few.median) == (1, 1, 0, 0.0)
    table = paired_table(groups)
    assert table is not None
    (note,) = table.notes
    assert "digits (all), seed 2 and None: missing" in note
    assert "digits (few-shot), seed 1, 2 and None: missing or undefined in one" in note
    assert "rings (no conr)" in note


def test_nothing_to_pair(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla")
    make_run("lds")
    assert paired_table(load_runs([tmp_path])) is None
    assert changes_table(load_runs([tmp_path])) is None
    assert comparison_markdown([tmp_path], "where").startswith("No paired tests")
    make_run("conr", 0, (None, None, None, None))
    assert all(math.isnan(test.median) for test in paired_tests(load_runs([tmp_path])))
    assert rows(tmp_path)["all", "vanilla → conr"][1] == "too few pairs: 0 differ, 6 are needed"


def test_a_headline_where_higher_is_better_counts_as_one_minus_it(make_run: MakeRun, tmp_path: Path) -> None:
    def correlated(value: float) -> dict[str, dict[str, float]]:
        return {region: {"count": 3.0, "pearson": value} for region in ("all", "many", "median", "few")}

    make_run("vanilla", 0, headline="pearson", metrics=correlated(0.8))
    make_run("conr", 0, headline="pearson", metrics=correlated(0.9))
    test = paired_tests(load_runs([tmp_path]))[0]
    assert test.outcome.wins == 1
    assert test.median == pytest.approx(relative_difference(0.2, 0.1))


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
    (sentence,) = changes_sentences([group], "few")
    assert sentence == (
        f"digits: conr lowers the few-shot error of 1 of 2 methods (median change {MINUS}20.0 %). All seeds agree that "
        "it falls with vanilla."
    )
    assert "falls or rises with none of them" in changes_sentences([group], "all")[0]  # all errors are equal there


def test_one_seed_is_not_clear_and_undefined_errors_make_no_pair(make_run: MakeRun, tmp_path: Path) -> None:
    runs(make_run, "vanilla", [30.0], "one")
    runs(make_run, "conr", [40.0], "one")
    runs(make_run, "vanilla", [None, None], "none")
    runs(make_run, "conr", [30.0, 30.0], "none")
    none, one = load_runs([tmp_path])
    assert [change.clear for change in dataset_changes(one, "few")] == [False]
    assert [change.seeds for change in dataset_changes(none, "few")] == [0]
    assert len(changes_sentences([none, one], "few")) == 1


def test_table_has_a_column_per_dataset_and_marks_what_all_seeds_lower(make_run: MakeRun, tmp_path: Path) -> None:
    runs(make_run, "vanilla", [30.0, 30.0])
    runs(make_run, "conr", [10.0, 20.0])
    runs(make_run, "vanilla", [30.0, 30.0], "rings")
    runs(make_run, "conr", [31.0, 33.0], "rings")
    table = changes_table(load_runs([tmp_path]))
    assert table is not None
    assert [title.text for title in table.header] == ["method", "digits", "rings"]
    (title, ((name, digits, rings),)), *_ = table.parts
    assert (title, name.text) == ("few-shot", "vanilla")
    assert (digits.text, digits.detail, digits.best, digits.verdict) == (f"{MINUS}70.0 %", "2 of 2", True, "better")
    assert (rings.text, rings.detail, rings.best, rings.verdict) == ("+6.4 %", "0 of 2", False, "worse")
    markdown = comparison_markdown([tmp_path], "where")
    assert markdown.startswith("- digits: conr lowers")
    assert f"**{MINUS}70.0 %** (2 of 2)" in markdown
