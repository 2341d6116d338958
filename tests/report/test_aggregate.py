import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conr.report import load_runs, summary_table
from conr.report.aggregate import (
    label_error_curve,
    prediction_limits,
    region_spans,
    spread,
    training_curve,
)
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult

MakeRun = Callable[..., Path]  # the fixture make_run


def test_spread_by_hand() -> None:
    assert spread([30.0, 33.0, 36.0]) == (33.0, 3.0, 30.0, 36.0, 3)
    assert spread([1.0, math.nan, 3.0])[2:] == (1.0, 3.0, 2)
    assert spread([1.0, math.nan, 3.0])[:2] == pytest.approx((2.0, math.sqrt(2)))
    one = spread([5.0])
    assert (one.mean, one.seeds) == (5.0, 1)
    assert math.isnan(one.std)
    none = spread([math.nan])
    assert none.seeds == 0
    assert math.isnan(none.mean)


def test_summary_table(two_methods: Path) -> None:
    results = [RunResult.read(path.parent) for path in two_methods.rglob("result.json")]
    baseline, conr = summary_table(results)
    assert (baseline.method, baseline.seeds, baseline.is_baseline) == ("vanilla", 3, True)
    assert (conr.dataset, conr.method, conr.seeds, conr.is_baseline) == ("digits", "conr", 3, False)
    assert conr.metrics["few"]["mae"] == (26.0, 1.0, 25.0, 27.0, 3)
    assert conr.changes["few"]["mae"] == pytest.approx(-7 / 33 * 100)
    assert conr.changes["many"]["mae"] == pytest.approx(5.0)
    assert conr.changes["median"]["gm"] == 0
    assert summary_table(results, baseline="conr")[1].changes["many"]["mae"] == pytest.approx(-0.2 / 4.2 * 100)


def test_baseline_of_zero_gives_no_percentage(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (0.0, 1.0, 1.0, 1.0))
    make_run("conr", 0, (2.0, 1.0, 1.0, 1.0))
    (group,) = load_runs([tmp_path])
    assert math.isnan(group.rows[1].changes["all"]["mae"])


@pytest.mark.parametrize(
    ("methods", "baseline", "order"),
    [
        (("conr", "baseline", "vanilla"), None, ["baseline", "conr", "vanilla"]),
        (("vanilla", "conr"), None, ["vanilla", "conr"]),
        (("lds", "conr"), None, ["conr", "lds"]),
        (("vanilla", "lds", "conr"), "lds", ["lds", "conr", "vanilla"]),
    ],
)
def test_baseline_comes_first(
    make_run: MakeRun, tmp_path: Path, methods: tuple[str, ...], baseline: str | None, order: list[str]
) -> None:
    for method in methods:
        make_run(method)
    (group,) = load_runs([tmp_path], baseline=baseline)
    assert list(group.methods) == [row.method for row in group.rows] == order


def test_unknown_baseline(two_methods: Path) -> None:
    with pytest.raises(ValueError, match="baseline: expected one of 'conr', 'vanilla', got 'sgd'"):
        load_runs([two_methods], baseline="sgd")


def test_different_bins_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run("vanilla")
    bins = {"edges": [[0.0, 20.0, 40.0]], "train_counts": [200, 15], "regions": ["many", "few"]}
    second = make_run("conr", bins=bins)
    with pytest.raises(ValueError, match="digits: expected the same label bins in all runs") as caught:
        load_runs([tmp_path])
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_the_later_of_two_equal_runs_counts(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("conr", 0, (1.0, 1.0, 1.0, 1.0), folder="new", created="2026-02-02T00:00:00+00:00")
    make_run("conr", 0, (9.0, 9.0, 9.0, 9.0), folder="old", created="2026-01-01T00:00:00+00:00")
    (group,) = load_runs([tmp_path])
    assert group.rows[0].seeds == 1
    assert group.rows[0].metrics["all"]["mae"].mean == 1.0
    assert group.notes == ("Seed 0 of conr was run more than once: new counts, old is left out.",)


def test_runs_without_a_seed_all_count(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("conr", None)
    make_run("conr", None)
    (group,) = load_runs([tmp_path])
    assert group.rows[0].seeds == 2
    assert group.notes == ()


def test_unequal_data_is_noted(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("vanilla")
    bins = RunResult.read(run).bins
    make_run("conr", bins=bins | {"train_counts": [151, 50, 10, 5]})
    make_run("conr", 1, (10.0, 4.0, 8.0, None))
    (group,) = load_runs([tmp_path])
    assert [note.split(":")[0].split(".")[0] for note in group.notes] == [
        "Not all runs were trained on the same label distribution",
        "Not all runs were tested on the same number of samples",
    ]


def test_highlighted_is_the_best_at_rare_labels(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", maes=(10.0, 4.0, 8.0, 5.0))
    make_run("best-few", maes=(12.0, 4.0, 8.0, 20.0))
    make_run("best-all", maes=(9.0, 4.0, 8.0, 25.0))
    assert load_runs([tmp_path])[0].highlighted == ("vanilla", "best-few")
    make_run("no-few", maes=(8.0, 4.0, 8.0, None))
    assert load_runs([tmp_path])[0].highlighted == ("vanilla", "no-few")


def test_label_error_curve_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    """Seeds 0 and 1 err by 1 and 3 at every label; the last bin has no test sample in either."""
    for seed, error in ((0, 1.0), (1, 3.0)):
        run = make_run("conr", seed, error=error)
        outputs = Outputs.read(run)
        outputs._replace(ids=outputs.ids[:9], labels=outputs.labels[:9], predictions=outputs.predictions[:9]).write(run)
    curve = label_error_curve(load_runs([tmp_path])[0], "conr")
    assert curve is not None
    np.testing.assert_allclose(curve.position, [5, 15, 25, 35])
    np.testing.assert_allclose(curve.mean, [2, 2, 2, np.nan])
    np.testing.assert_allclose(curve.low, [1, 1, 1, np.nan])
    np.testing.assert_allclose(curve.high, [3, 3, 3, np.nan])


def test_label_error_curve_joins_bins(make_run: MakeRun, tmp_path: Path) -> None:
    """91 bins of width 1 become intervals of 4, the last one of 3; a label on a border belongs to the right."""
    bins = {"edges": [list(map(float, range(92)))], "train_counts": [1] * 91, "regions": ["few"] * 91}
    run = make_run("conr", bins=bins)
    labels = np.asarray([3, 4, 7, 88], dtype=np.float32)
    predictions = np.asarray([4, 6, 3, 83], dtype=np.float32)  # errors 1 | 2 4 | ... | 5
    Outputs.read(run)._replace(ids=np.asarray(list("abcd")), labels=labels, predictions=predictions).write(run)
    curve = label_error_curve(load_runs([tmp_path])[0], "conr")
    assert curve is not None
    assert len(curve.position) == 23
    assert curve.position[[0, 1, 22]].tolist() == [2.0, 6.0, 89.5]
    assert curve.mean[[0, 1, 22]].tolist() == [1.0, 3.0, 5.0]
    assert np.isnan(curve.mean[2:22]).all()


def test_training_curve_by_hand(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("conr", 0)  # val/mae 9 8
    longer = make_run("conr", 1)
    (longer / "csv/version_0/metrics.csv").write_text("epoch,step,val/mae\n0,5,5.0\n1,10,4.0\n2,15,3.0\n")
    runs = load_runs([tmp_path])[0].methods["conr"]
    curve = training_curve(runs, "val/mae")
    assert curve is not None
    assert [column.tolist() for column in curve] == [[1, 2, 3], [7, 6, 3], [5, 4, 3], [9, 8, 3]]
    assert training_curve(runs, "val/other") is None


def test_region_spans_and_limits(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("conr", error=7.0)  # the label 35 is predicted as 42
    (group,) = load_runs([tmp_path])
    assert region_spans(group) == [(0.0, 10.0, "many"), (10.0, 20.0, "median"), (20.0, 40.0, "few")]
    assert prediction_limits(group, group.methods["conr"]) == (0.0, 42.0)
    outputs = Outputs.read(run)
    outputs._replace(predictions=np.full_like(outputs.predictions, np.nan)).write(run)
    (group,) = load_runs([tmp_path])
    assert prediction_limits(group, group.methods["conr"]) == (0.0, 40.0)
