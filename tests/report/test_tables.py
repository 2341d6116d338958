from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from conr.report import load_runs, summary_markdown, terminal_table
from conr.report.tables import METRICS, Cell, metric_table, summary_sentences

MakeRun = Callable[..., Path]  # the fixture make_run

MAE = METRICS[0]
PEARSON = next(metric for metric in METRICS if metric.name == "pearson")
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def test_cells_by_hand(two_methods: Path) -> None:
    rows = load_runs([two_methods])[0].rows
    baseline, conr = metric_table(rows, MAE).cells
    assert baseline == [
        Cell("10.00 ± 0.00", "", "", best=False),
        Cell("4.00 ± 0.00", "", "", best=True),
        Cell("8.00 ± 0.00", "", "", best=True),  # a tie: both are best
        Cell("33.00 ± 3.00", "", "", best=False),
    ]
    assert conr == [
        Cell("9.00 ± 0.00", f"{MINUS}10.0 %", "better", best=True),
        Cell("4.20 ± 0.00", "+5.0 %", "worse", best=False),
        Cell("8.00 ± 0.00", "0.0 %", "", best=True),
        Cell("26.00 ± 1.00", f"{MINUS}21.2 %", "better", best=True),
    ]


def test_higher_correlations_are_better(make_run: MakeRun, tmp_path: Path) -> None:
    metrics = {
        region: {
            "count": 3.0, "mae": 1.0, "mse": 1.0, "rmse": 1.0, "gm": 1.0, "bmae": 1.0, "pearson": 0.95, "spearman": 0.8
        }
        for region in ("all", "many", "median", "few")
    }  # fmt: skip
    make_run("vanilla")  # 0.9
    make_run("conr", metrics=metrics)
    baseline, conr = metric_table(load_runs([tmp_path])[0].rows, PEARSON).cells
    assert baseline[0] == Cell("0.900", "", "", best=False)
    assert conr[0] == Cell("0.950", "+0.050", "better", best=True)


def test_missing_region_and_missing_seed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, 4.0, 8.0, None))
    make_run("vanilla", 1, (10.0, 4.0, None, None))
    make_run("conr", 0, (9.0, 4.0, 6.0, None))
    make_run("conr", 1, (9.0, 4.0, 8.0, None))
    baseline, conr = metric_table(load_runs([tmp_path])[0].rows, MAE).cells
    assert baseline[2].value == "8.00 (1 of 2 seeds)"
    assert conr[2] == Cell("7.00 ± 1.41", f"{MINUS}12.5 %", "better", best=True)
    assert baseline[3] == conr[3] == Cell(DASH, "", "", best=False)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0.0512, "0.0512"), (0.512, "0.512"), (5.12, "5.12"), (51.2, "51.2"), (512.0, "512.0"), (0.0, "0.000")],
)
def test_three_significant_digits(make_run: MakeRun, tmp_path: Path, size: float, expected: str) -> None:
    make_run("conr", 0, (size, size, size, size))
    ((cell, *_),) = metric_table(load_runs([tmp_path])[0].rows, MAE).cells
    assert cell == Cell(expected, "", "", best=False)  # alone, nothing is best


def test_sentences_say_better_worse_and_equal(two_methods: Path) -> None:
    (text,) = summary_sentences(load_runs([two_methods])[0])
    assert text == (
        f"conr lowers the MAE of the few-shot region from 33.00 to 26.00 degrees ({MINUS}21.2 %), "
        "leaves the MAE of the median-shot region at 8.00, "
        "raises the MAE of the many-shot region from 4.00 to 4.20 (+5.0 %) "
        f"and lowers the MAE over all test labels from 10.00 to 9.00 ({MINUS}10.0 %). 3 seeds each."
    )


def test_sentences_name_differences_within_chance(make_run: MakeRun, tmp_path: Path) -> None:
    """Few-shot: 20 22 against 19 21, a difference of 1 where each standard deviation is 1.41."""
    for seed, few in enumerate((20.0, 22.0)):
        make_run("vanilla", seed, (10.0, 4.0, 8.0, few))
        make_run("conr", seed, (9.0, 4.0, 8.0, few - 1))
    (text,) = summary_sentences(load_runs([tmp_path])[0])
    assert "The difference in the few-shot region is within the standard deviation between seeds." in text


def test_sentences_about_few_runs(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, 4.0, 8.0, None))
    (text,) = summary_sentences(load_runs([tmp_path])[0])
    assert text.startswith(
        "vanilla has an MAE of 10.00 degrees over all test labels (1 seed). There is no other method"
    )
    make_run("conr", 0, (9.0, 4.0, 8.0, 20.0))
    (text,) = summary_sentences(load_runs([tmp_path])[0])
    assert "few-shot" not in text
    assert text.endswith("One seed each: how much of this is chance is unknown.")
    make_run("conr", 1, (9.0, 4.0, 8.0, 20.0))
    (text,) = summary_sentences(load_runs([tmp_path])[0])
    assert text.endswith("One seed of one of them: how much of this is chance is unknown.")
    make_run("diverged", 0, (None, None, None, None))
    assert summary_sentences(load_runs([tmp_path])[0])[1] == (
        "diverged cannot be compared with vanilla: the MAE of one of them is undefined."
    )


def test_markdown(two_methods: Path, make_run: MakeRun) -> None:
    make_run("a|b", dataset="other", label={"name": "score", "unit": ""})
    assert summary_markdown([two_methods]) == (
        "**digits**: MAE of angle in degrees, mean ± standard deviation over seeds\n"
        "\n"
        "| method | seeds | all | many-shot | median-shot | few-shot |\n"
        "|---|---|---|---|---|---|\n"
        "| vanilla | 3 | 10.00 ± 0.00 | **4.00 ± 0.00** | **8.00 ± 0.00** | 33.00 ± 3.00 |\n"
        "| conr | 3 | **9.00 ± 0.00** | 4.20 ± 0.00 | **8.00 ± 0.00** | **26.00 ± 1.00** |\n"
        "\n"
        "**other**: MAE of score, mean ± standard deviation over seeds\n"
        "\n"
        "| method | seeds | all | many-shot | median-shot | few-shot |\n"
        "|---|---|---|---|---|---|\n"
        "| a\\|b | 1 | 10.00 | 4.00 | 8.00 | 30.00 |\n"
    )


def test_terminal_table(two_methods: Path, make_run: MakeRun) -> None:
    make_run("[red]lds")
    (group,) = load_runs([two_methods])
    console = Console(width=120, record=True, color_system=None)
    console.print(terminal_table(group))
    lines = [line.split() for line in console.export_text().splitlines()]
    (conr,) = [words for words in lines if "conr" in words]
    assert " ".join(word for word in conr if word not in "│±") == "conr 3 9.00 0.00 4.20 0.00 8.00 0.00 26.00 1.00"
    changes = lines[lines.index(conr) + 1]
    assert [word for word in changes if word not in "│%"] == [f"{MINUS}10.0", "+5.0", "0.0", f"{MINUS}21.2"]
    assert any("[red]lds" in words for words in lines)
    with pytest.raises(ValueError, match=r"metric: expected one of 'mae'.*got 'maes'; did you mean 'mae'"):
        terminal_table(group, metric="maes")
