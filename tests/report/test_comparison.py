import re
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.image import imread

from conr.report import comparison_markdown, load_runs, trade_off_pictures, write_report
from conr.report.comparison import compare, coverage_notes, published_results, rank_methods
from conr.report.comparison_pictures import family_looks, trade_off
from conr.report.cost import dataset_costs
from conr.report.paired import grid_methods
from conr.report.pictures import compared_methods

TIMES = "\N{MULTIPLICATION SIGN}"
MakeRun = Callable[..., Path]  # the fixture make_run


def test_page_of_a_grid(grid: Path) -> None:
    source = write_report([grid], grid / "out" / "report.html").read_text()
    text = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", source, flags=re.DOTALL).split())
    assert '<a href="#comparison">All datasets</a>' in source
    for title in ("Test errors", "Common against rare labels", "With and without conr", "Average ranks", "Cost"):
        assert f"<h3>{title}</h3>" in source
    assert "Not run on tablet: ranksim." in text
    assert "On rings, lds+conr lacks seed 2." in text
    assert "ranksim is not ranked: it has no error on tablet." in text
    assert "Not in the pairs of lds and lds+conr: rings, seed 2: missing or undefined in one." in text
    assert text.count("not run") == 4 * 4 + 1  # regions times headline, MAE, GM, balanced MAE; and cost
    assert "MSE on sts-b-dir" in text
    assert text.count("published (A)") > 10
    assert "Published results on sts-b-dir beside ours" in text
    assert "Published results on digits" not in text
    assert "Each method against vanilla in words" in text  # folded where there are many methods
    drawn = re.findall(r"<h4>([^<]*)</h4>\s*<svg", source)
    assert drawn[:6] == ["digits", "rings", "sts-b-dir", "tablet", "Average ranks: all", "Average ranks: few-shot"]
    assert not re.findall(r"url\((?!#)|@import|<script|<link", source)
    ids = re.findall(r' id="([^"]+)"', source)
    assert len(ids) == len(set(ids))


def test_two_methods_get_no_comparison(two_methods: Path) -> None:
    assert compare(load_runs([two_methods])) is None


def test_one_dataset_of_three_methods(two_methods: Path, make_run: MakeRun) -> None:
    make_run("lds")
    for kept in two_methods.rglob("outputs.npz"):  # spares drawing
        kept.unlink()
    found = compare(load_runs([two_methods]))
    assert found is not None
    assert found.grid == ()  # the dataset's own tables say it
    assert found.ranks is None
    assert found.missing == ("No ranks: they need at least 2 datasets and 3 methods on all of them, here are 1 and 3.",)
    assert found.notes == ("On digits, lds lacks seeds 1 and 2.",)
    source = write_report([two_methods], two_methods / "out.html").read_text()
    assert "<h2>All methods</h2>" in source
    assert "No ranks: they need" in source


def test_grid_order_and_pictures_of_many_methods(make_run: MakeRun, tmp_path: Path) -> None:
    methods = ["vanilla", "conr", "focal-r", "lds", "lds+conr", "ranksim", "sqinv", "sqinv+conr"]
    for method in reversed(methods):
        make_run(method, 0, (10.0, 4.0, 8.0, 20.0 if method == "sqinv+conr" else 30.0))
    groups = load_runs([tmp_path])
    assert grid_methods(groups) == methods
    assert coverage_notes(groups) == []
    assert compared_methods(groups[0]) == [
        ["vanilla", "sqinv+conr"], ["vanilla", "conr"], ["lds", "lds+conr"], ["sqinv", "sqinv+conr"]
    ]  # fmt: skip


def test_grid_as_markdown(two_methods: Path, make_run: MakeRun) -> None:
    make_run("lds", 0, dataset="rings", headline="mse")
    lines = comparison_markdown([two_methods], "grid").splitlines()
    assert lines[0].startswith(
        "Headline metric of each dataset: MAE on digits, MSE on rings. Mean ± standard deviation"
    )
    assert lines[2] == "|  | method | digits | rings |"
    assert "| few-shot | conr | **26.00 ± 1.00** | not run |" in lines
    assert "| few-shot | lds | not run | 900.0 |" in lines
    assert "Not run on rings: vanilla, conr." in lines


def test_ranks_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    """Three datasets: a < b < c twice, and a = b < c; d lacks one, and no method has few-shot labels on digits."""
    for dataset, values in (("digits", (1.0, 2.0, 3.0)), ("rings", (1.0, 2.0, 3.0)), ("tablet", (2.0, 2.0, 5.0))):
        for method, value in zip("abc", values, strict=True):
            few = None if dataset == "digits" else value
            make_run(method, 0, (value, value, value, few), dataset=dataset)
    make_run("d", 0, (None, 1.0, 1.0, 1.0), dataset="tablet")
    groups = load_runs([tmp_path])
    found = rank_methods(groups, "all")
    assert found.found is not None
    assert found.methods == ("a", "b", "c")
    assert found.found.ranks.tolist() == pytest.approx([3.5 / 3, 5.5 / 3, 3.0])
    assert found.notes == ("d is not ranked: it has no error on digits, rings, tablet.",)
    rare = rank_methods(groups, "few")
    assert rare.datasets == ("rings", "tablet")
    assert rare.notes[0] == "digits is not ranked: no method has an error there."
    text = comparison_markdown([tmp_path], "ranks")
    assert "| a | **1.17** | **1.17** | **1.17** | **1.25** |" in text
    assert "few-shot: digits is not ranked: no method has an error there." in text
    assert "Friedman's test (few-shot, 2 datasets, 3 methods): p = " in text


def test_methods_that_rank_alike(make_run: MakeRun, tmp_path: Path) -> None:
    for dataset in ("digits", "rings"):
        for method in "abc":
            make_run(method, dataset=dataset, kept=False)
    text = comparison_markdown([tmp_path], "ranks")
    assert "Friedman's test (all, 2 datasets, 3 methods): all methods rank alike." in text


def test_trade_off_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    """inv trades regions, bad is beaten by vanilla, conr is beyond the frontier, none has no few-shot error."""
    places = {"vanilla": (4.0, 30.0), "inv": (6.0, 20.0), "bad": (5.0, 31.0), "conr": (3.0, 19.0), "none": (4.0, None)}
    for method, (many, few) in places.items():
        make_run(method, 0, (10.0, many, 8.0, few))
    groups = load_runs([tmp_path])
    found = trade_off(groups[0])
    assert {method: (many.mean, few.mean) for method, (many, few) in found.points.items()} == {
        method: place for method, place in places.items() if method != "none"
    }
    assert found.pairs == (("vanilla", "conr"),)
    assert found.frontier == ("vanilla", "inv")
    assert found.missing == ("none",)
    looks = family_looks(groups)
    assert looks["conr"] == looks["vanilla"]
    assert len(set(looks.values())) == 4
    (picture,) = trade_off_pictures([tmp_path], tmp_path / "images")
    assert picture == tmp_path / "images" / "digits.png"
    assert (imread(picture)[0, 0] == 1).all()  # opaque white


def test_trade_off_needs_two_methods(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla")
    with pytest.raises(ValueError, match="digits: expected at least 2 methods with a many-shot and a few-shot error"):
        trade_off_pictures([tmp_path], tmp_path)


def test_cost_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    """Two epochs each: 5 and 7 s make 3 s per epoch, 9 s make 4.5; a run on other threads is left out and named."""
    make_run("vanilla", 0, train_seconds=5.0, peak_memory=100 * 2**20)
    make_run("vanilla", 1, train_seconds=7.0, peak_memory=None)
    make_run("conr", 0, train_seconds=9.0, peak_memory=150 * 2**20)
    make_run("conr", 1, train_seconds=99.0, hardware={"device": "cpu", "threads": 8, "platform": "Linux"})
    make_run("lds", 0, train_seconds=6.0)
    make_run("far", 0, hardware={"device": "cuda", "threads": 1, "platform": "Linux"})
    make_run("empty", 0, epochs=0)
    costs, notes = dataset_costs(load_runs([tmp_path])[0])
    assert costs["vanilla"].seconds == 3
    assert (costs["conr"].relative_seconds, costs["conr"].relative_memory, costs["conr"].runs) == (1.5, 1.5, 1)
    assert costs["lds"].relative_seconds == 1
    assert notes == [
        "digits: 1 of 2 runs of conr are on other hardware or threads than vanilla and do not count.",
        "digits: 1 of 1 runs of far are on other hardware or threads than vanilla and do not count.",
    ]
    lines = comparison_markdown([tmp_path], "cost").splitlines()
    assert "| vanilla | 3 s (100 MiB) |" in lines
    assert f"| conr | 1.50 {TIMES} (1.50 {TIMES} memory) |" in lines
    assert f"| lds | 1.00 {TIMES} |" in lines
    assert "| far | \N{EN DASH} |" in lines
    assert "| empty | \N{EN DASH} |" in lines


def test_published_numbers() -> None:
    """A few by hand, and all complete: numbers of four regions and a known source."""
    agedb = published_results("agedb-dir")
    assert agedb is not None
    conr = next(row for row in agedb["rows"] if row["method"] == "ConR" and row["source"] == "A")
    assert conr["mae"] == [7.20, 6.50, 8.04, 9.73]
    bilstm, stsb = published_results("sts-b-dir-bilstm"), published_results("sts-b-dir")
    assert bilstm is not None
    assert stsb is not None
    assert bilstm["rows"] == stsb["rows"]
    assert bilstm["notes"] != stsb["notes"]
    assert published_results("digits") is None
    for name in ("abalone", "agedb-dir", "imdb-wiki-dir", "nyud2-dir", "sts-b-dir", "table-airfoil", "table-concrete"):
        content = published_results(name)
        assert content is not None
        assert content["notes"]
        for row in content["rows"]:
            assert row["source"] in content["sources"]
            metrics = row.keys() - {"method", "source"}
            assert metrics
            for metric in metrics:
                assert len(row[metric]) == 4
                assert any(value is not None for value in row[metric])


def test_published_as_markdown(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, dataset="table-concrete")
    text = comparison_markdown([tmp_path], "published")
    assert "| vanilla | ours | 10.00 | 4.00 |" in text
    assert "| SRL | published (B) | 5.94 | 5.32 | 5.80 | 6.60 |" in text
    assert "ours is another split" in text


def test_markdown_says_what_cannot_be_compared(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla")
    assert comparison_markdown([tmp_path], "paired").startswith("No paired tests")
    assert comparison_markdown([tmp_path], "ranks").startswith("No ranks")
    assert comparison_markdown([tmp_path], "published").startswith("No published results")
    with pytest.raises(ValueError, match=r"table: expected one of 'grid', .*got 'rank'; did you mean 'ranks'"):
        comparison_markdown([tmp_path], "rank")
