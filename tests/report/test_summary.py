from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from conr.report import load_runs, summary_markdown, terminal_table
from conr.report.summary import METRICS, metric_entries, summary_sentences
from conr.report.tables import Entry

MakeRun = Callable[..., Path]  # the fixture make_run

MAE = METRICS[0]
PEARSON = next(metric for metric in METRICS if metric.name == "pearson")
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def test_entries_by_hand(two_methods: Path) -> None:
    rows = load_runs([two_methods])[0].rows
    baseline, conr = metric_entries(rows, MAE, changes=True)
    assert baseline == [
        Entry("10.00 ± 0.00"),
        Entry("4.00 ± 0.00", best=True),
        Entry("8.00 ± 0.00", best=True),  # a tie: both are best
        Entry("33.00 ± 3.00"),
    ]
    assert conr == [
        Entry("9.00 ± 0.00", f"{MINUS}10.0 %", best=True, verdict="better"),
        Entry("4.20 ± 0.00", "+5.0 %", verdict="worse"),
        Entry("8.00 ± 0.00", "0.0 %", best=True),
        Entry("26.00 ± 1.00", f"{MINUS}21.2 %", best=True, verdict="better"),
    ]
    assert metric_entries(rows, MAE)[1][1] == Entry("4.20 ± 0.00")


def test_higher_correlations_are_better(make_run: MakeRun, tmp_path: Path) -> None:
    values = {region: {"count": 3.0, "mae": 1.0, "pearson": 0.95} for region in ("all", "many", "median", "few")}
    make_run("vanilla", kept=False)  # 0.9
    make_run("conr", metrics=values, kept=False)
    baseline, conr = metric_entries(load_runs([tmp_path])[0].rows, PEARSON, changes=True)
    assert baseline[0] == Entry("0.900")
    assert conr[0] == Entry("0.950", "+0.050", best=True, verdict="better")


def test_missing_region_and_missing_seed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, 4.0, 8.0, None), kept=False)
    make_run("vanilla", 1, (10.0, 4.0, None, None), kept=False)
    make_run("conr", 0, (9.0, 4.0, 6.0, None), kept=False)
    make_run("conr", 1, (9.0, 4.0, 8.0, None), kept=False)
    baseline, conr = metric_entries(load_runs([tmp_path])[0].rows, MAE, changes=True)
    assert baseline[2] == Entry("8.00 (1 of 2 seeds)")
    assert conr[2] == Entry("7.00 ± 1.41", f"{MINUS}12.5 %", best=True, verdict="better")
    assert baseline[3] == conr[3] == Entry(DASH)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0.0512, "0.0512"), (0.512, "0.512"), (5.12, "5.12"), (51.2, "51.2"), (512.0, "512.0"), (0.0, "0.000")],
)
def test_three_significant_digits(make_run: MakeRun, tmp_path: Path, size: float, expected: str) -> None:
    make_run("conr", 0, (size, size, size, size), kept=False)
    ((entry, *_),) = metric_entries(load_runs([tmp_path])[0].rows, MAE)
    assert entry == Entry(expected)  # alone, nothing is best


def test_sentences_say_better_worse_and_equal(two_methods: Path) -> None:
    (text,) = summary_sentences(load_runs([two_methods])[0])
    assert text == (
        f"conr against vanilla, MAE: few-shot falls from 33.00 to 26.00 degrees ({MINUS}21.2 %), median-shot stays at "
        "8.00 degrees, many-shot rises from 4.00 to 4.20 degrees (+5.0 %), all labels falls from 10.00 to 9.00 degrees "
        f"({MINUS}10.0 %). 3 seeds each."
    )


def test_sentences_name_differences_within_chance(make_run: MakeRun, tmp_path: Path) -> None:
    """Few-shot: 20 22 against 19 21, a difference of 1 where each standard deviation is 1.41."""
    for seed, few in enumerate((20.0, 22.0)):
        make_run("vanilla", seed, (10.0, 4.0, 8.0, few), kept=False)
        make_run("conr", seed, (9.0, 4.0, 8.0, few - 1), kept=False)
    (text,) = summary_sentences(load_runs([tmp_path])[0])
    assert text.endswith(". Within the standard deviation between seeds: few-shot. 2 seeds each.")


def test_sentences_about_few_runs(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, 4.0, 8.0, None), kept=False)
    assert summary_sentences(load_runs([tmp_path])[0]) == ["There is no other method to compare vanilla with."]
    make_run("conr", 0, (9.0, 4.0, 8.0, 20.0), kept=False)
    make_run("diverged", 0, (None, None, None, None), kept=False)
    text, undefined = summary_sentences(load_runs([tmp_path])[0])
    assert "few-shot" not in text
    assert text.endswith("With one seed, how much of this is chance is unknown.")
    assert undefined == "diverged against vanilla, MAE: undefined in one of them."


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
    make_run("[/red]lds")
    (group,) = load_runs([two_methods])
    console = Console(width=120, record=True, color_system=None)
    console.print(terminal_table(group))
    lines = [line.split() for line in console.export_text().splitlines()]
    (conr,) = [words for words in lines if "conr" in words]
    assert " ".join(word for word in conr if word not in "│±") == "conr 3 9.00 0.00 4.20 0.00 8.00 0.00 26.00 1.00"
    changes = lines[lines.index(conr) + 1]
    assert [word for word in changes if word not in "│%"] == [f"{MINUS}10.0", "+5.0", "0.0", f"{MINUS}21.2"]
    assert any("[/red]lds" in words for words in lines)
    with pytest.raises(ValueError, match=r"metric: expected one of 'mae'.*got 'maes'; did you mean 'mae'"):
        terminal_table(group, metric="maes")
