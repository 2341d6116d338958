"""The first screen of a report: numbers from hand-made runs, in words and bars."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conr.density.regions import GROUPS
from conr.report import load_runs, write_report
from conr.report.answer import Answer, answers_table, find_answers
from conr.report.style import MethodStyles
from conr.runs.choice import write_choice

MakeRun = Callable[..., Path]  # the fixture make_run
MINUS = "\N{MINUS SIGN}"


def answers(*paths: Path, **about: str) -> dict[str, Answer]:
    groups = load_runs(paths)
    return find_answers(groups, MethodStyles(groups), about)


def row(name: str, many: float, few: float, weight: float = 0.0) -> dict[str, Any]:
    others = {"all": 2.0, "median": 2.0, "bmae": 3.0, "seconds": 1.0}
    return {"name": name, "many": many, "few": few, "weight": weight, **others}


def choose(run: Path, *rows: dict[str, Any]) -> None:
    """Let a run have chosen among candidates."""
    columns = {name: [1.2, 1.4] for name in ("all", "many", "median", "bmae")} | {"few": [4.0, 3.0]}
    nothing = {"count": 3.0, "coverage": 0.9, "set_width": 2.0, "width": 2.0}
    write_choice(
        run,
        objective="bmae",
        leaderboard=list(rows),
        tradeoff={"limit": [0.0, None], **columns, "chosen": 1},
        unfinished=[],
        coverage=0.9,
        intervals=dict.fromkeys(GROUPS, nothing),
    )


def test_two_methods(two_methods: Path) -> None:
    answer = answers(two_methods, digits="Digits, turned.")["digits"]
    assert answer.title == "digits: conr instead of vanilla"
    assert answer.sentence == "The error on rare labels falls by 21 %, on common ones it rises by 5 %."
    rare, common = answer.lines
    assert (rare.change, rare.verdict) == (f"{MINUS}21 %", "better")
    assert (common.change, common.verdict) == ("+5 %", "worse")
    assert rare.detail == "angle 20 to 40, 7% of training"  # 15 of 215, in two bins side by side
    assert [(bar.name, bar.text) for bar in rare.bars] == [("vanilla", "33.00 degrees"), ("conr", "26.00 degrees")]
    shares = [bar.share for line in answer.lines for bar in line.bars]
    np.testing.assert_allclose(shares, [100, 78.8, 12.1, 12.7], atol=0.05)
    assert answer.note == "MAE, lower is better; on the test split, means of 3 seeds."
    assert answer.about == "Digits, turned."
    assert answer.picture is not None
    assert answer.picture.title == "Error over angle: vanilla and conr"


def test_a_difference_within_the_spread_is_no_verdict(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, (before, after) in enumerate(((30.0, 29.0), (34.0, 33.0))):
        make_run("vanilla", seed, (10.0, 4.0, 8.0, before), kept=False)
        make_run("conr", seed, (10.0, 4.0, 8.0, after), kept=False)
    answer = answers(tmp_path)["digits"]
    assert answer.sentence == (
        "The error on rare labels falls by 3 % (within the spread of seeds), on common ones it stays the same."
    )
    assert answer.lines[0].verdict == ""
    assert answer.picture is None  # no predictions were kept


def test_one_method_has_nothing_to_compare(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", kept=False)
    answer = answers(tmp_path)["digits"]
    assert answer.title == "digits: vanilla"
    assert answer.sentence == "Rare labels are missed by 30.00 degrees, common ones by 4.00 degrees."
    assert answer.lines[0].change == ""
    assert "One seed" in answer.note


def test_a_choice_is_compared_with_boosting_alone(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("boosting", epochs=0)
    (run / "csv/version_0/metrics.csv").unlink()
    choose(run, row("blend", 1.4, 3.0, 1.0), row("hgb+inv>linear", 1.5, 3.1, 1.0), row("hgb", 1.25, 4.0))
    answer = answers(tmp_path)["digits"]
    assert answer.title == "digits: RareRegressor instead of boosting"
    assert answer.sentence == "The error on rare labels falls by 25 %, on common ones it rises by 12 %."
    assert "training rows that the model in question has not seen" in answer.note
    page = write_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h4>(.*?)</h4>", page)
    assert titles[0] == "Common against rare labels"
    assert titles.count(titles[0]) == 1  # not once more where the choice is explained
    assert ">boosting</text>" in page
    assert "Epochs count from 1." not in page
    assert "Not drawn" not in page
    choose(run, row("blend", 1.4, 3.0, 1.0), row("mine", 1.4, 3.0, 1.0))  # nobody's boosting: the test is all there is
    assert answers(tmp_path)["digits"].title == "digits: boosting"


def test_nothing_rare_has_no_answer(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, 4.0, 8.0, None), kept=False)
    assert answers(tmp_path) == {}
    assert 'id="answer"' not in write_report([tmp_path], tmp_path / "report.html").read_text(encoding="utf-8")


def test_median_shot_labels_are_the_common_ones_of_a_small_table(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, None, 8.0, 30.0), kept=False)
    answer = answers(tmp_path)["digits"]
    assert answer.sentence == "Rare labels are missed by 30.00 degrees, common ones by 8.00 degrees."


def test_many_datasets_have_tables_instead(make_run: MakeRun, tmp_path: Path) -> None:
    for number in range(5):
        make_run("vanilla", dataset=f"digits-{number}", kept=False)
    assert answers(tmp_path) == {}


def test_many_rare_places_are_counted(make_run: MakeRun, tmp_path: Path) -> None:
    edges = [[float(edge) for edge in range(7)]]
    regions = ["few", "many", "few", "many", "few", "many"]
    make_run("vanilla", bins={"edges": edges, "train_counts": [10, 110] * 3, "regions": regions}, kept=False)
    assert answers(tmp_path)["digits"].lines[0].detail == "3 ranges of angle between 0 and 5, 8% of training"


def test_the_table_of_a_terminal(two_methods: Path) -> None:
    table = answers_table(load_runs([two_methods]))
    ((title, (before, after)),) = table.parts
    assert title == "digits"
    assert [entry.text for entry in before] == ["vanilla", "33.00 degrees", "4.00 degrees"]
    assert [entry.detail for entry in after] == ["", f"{MINUS}21 %", "+5 %"]


@pytest.mark.parametrize("text", ["Rare labels", "angle 20 to 40", "falls by 21"])
def test_it_stands_before_everything_else(two_methods_page: Path, text: str) -> None:
    page = two_methods_page.read_text(encoding="utf-8")
    assert 0 < page.index(text) < page.index('id="dataset-1"')
