import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.oracles.angular import angle_in_degrees

from conr.report import load_runs, summary_markdown, write_report
from conr.report.aggregate import DatasetRuns
from conr.report.pictures_2d import (
    cell_pictures,
    error_cells,
    error_title,
    occupied_corners,
    widest_dimension,
)
from conr.runs.outputs import Outputs

MakeRun = Callable[..., Path]  # the fixture make_run

# Two bins of pitch, three of yaw, the last dimension fastest.
BINS = {
    "edges": [[-1.0, 0.0, 1.0], [-1.0, 0.0, 0.5, 1.0]],
    "train_counts": [150, 30, 0, 5, 3, 0],
    "regions": ["many", "median", "few", "few", "few", "few"],
}
LABELS = np.asarray([[-0.5, -0.5], [-0.5, -0.4], [-0.5, 0.2], [0.5, -0.5], [0.5, 0.9]] * 3, dtype=np.float32)  # (15, 2)


def make_gaze_run(
    make_run: MakeRun, method: str, seed: int, error: tuple[float, float], *, headline: str = "angular"
) -> Path:
    """A run whose predictions are all labels plus ``error``."""
    values = {"mae": float(np.abs(error).mean()), "angular": 60 * float(np.hypot(*error))}
    run = make_run(
        method,
        seed,
        dataset="gaze",
        bins=BINS,
        label={"name": "gaze", "unit": "radians", "dimensions": ["pitch", "yaw"]},
        headline=headline,
        metrics={region: {"count": 15.0} | values for region in ("all", "many", "median", "few")},
    )
    features = np.random.default_rng(seed).normal(size=(15, 4)).astype(np.float16)
    predictions = LABELS + np.asarray(error, dtype=np.float32)
    Outputs(np.arange(15).astype(str), LABELS, predictions, features, LABELS).write(run)
    return run


@pytest.fixture
def group(make_run: MakeRun, tmp_path: Path) -> DatasetRuns:
    make_gaze_run(make_run, "vanilla", 0, (0.2, 0.0))
    make_gaze_run(make_run, "vanilla", 1, (0.4, 0.0))
    make_gaze_run(make_run, "conr", 0, (0.0, 0.1))
    return load_runs([tmp_path])[0]


def test_errors_per_cell_are_angles_where_the_headline_is(group: DatasetRuns) -> None:
    """Pitch 0.2 and 0.4 too high: the mean over both seeds is 0.3 radians wherever there are samples."""
    errors = error_cells(group, "vanilla")
    assert errors is not None
    degrees = math.degrees(0.3)
    expected = [[degrees, degrees, math.nan], [degrees, math.nan, degrees]]
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    conr = error_cells(group, "conr")
    assert conr is not None
    first = [angle_in_degrees((-0.5, yaw + 0.1), (-0.5, yaw)) for yaw in (-0.5, -0.4)]  # both in the first cell
    assert conr[0, 0] == pytest.approx(np.mean(first), rel=1e-5)
    assert error_title(group) == "Angular error (degrees)"


def test_other_errors_are_means_over_label_dimensions(make_run: MakeRun, tmp_path: Path) -> None:
    make_gaze_run(make_run, "conr", 0, (0.2, -0.4), headline="mae")
    (group,) = load_runs([tmp_path])
    errors = error_cells(group, "conr")
    assert errors is not None
    np.testing.assert_allclose(errors, [[0.3, 0.3, math.nan], [0.3, math.nan, 0.3]], rtol=1e-5)
    assert error_title(group) == "MAE (radians)"


def test_dimensions_have_names_and_the_widest_is_known(group: DatasetRuns, make_run: MakeRun, tmp_path: Path) -> None:
    assert group.axis_titles == ["pitch (radians)", "yaw (radians)"]
    assert widest_dimension(group) == 0  # both reach two bins; the third of yaw has no training sample
    wide = BINS | {"train_counts": [150, 30, 1, 5, 3, 0]}
    make_run("vanilla", dataset="other", bins=wide, label={"name": "place", "unit": ""})
    other = load_runs([tmp_path])[1]
    assert other.axis_titles == ["place 0", "place 1"]
    assert widest_dimension(other) == 1


def test_axes_end_where_training_and_test_samples_end(group: DatasetRuns) -> None:
    """A test sample lies in the last bin of yaw, which has no training sample."""
    assert [corner.tolist() for corner in occupied_corners(group)] == [[0, 0], [1, 2]]
    assert [corner.tolist() for corner in occupied_corners(_without_predictions(group))] == [[0, 0], [1, 1]]


def _without_predictions(group: DatasetRuns) -> DatasetRuns:
    folders = [run.folder for runs in group.methods.values() for run in runs]
    for folder in folders:
        (folder / "outputs.npz").unlink()
    return load_runs(folders)[0]


def test_pictures_say_what_they_show_in_plain_words(group: DatasetRuns) -> None:
    wanted_words = (
        {"training samples", "10", "100"},
        {"many-shot", "median-shot", "few-shot"},
        {"Angular error (degrees)", "0", "10"},
    )
    for picture, wanted in zip(cell_pictures(group), wanted_words, strict=False):
        words = set(re.findall(r">([^<>]+)</text>", str(picture.svg)))
        assert wanted | {"pitch (radians)", "yaw (radians)"} <= words
        assert not any("$" in word for word in words)


def test_page(group: DatasetRuns, tmp_path: Path) -> None:
    page = write_report([tmp_path], tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<h4>(.*?)</h4>", page) == [
        "Training labels",
        "Shot regions",
        "Error per cell: vanilla",
        "Error per cell: conr",
        "Features: vanilla, seed 0",
        "Features: conr, seed 0",
        "Validation Angular error",
        "Few-shot validation Angular error",
        "Training loss",
    ]
    assert "are left out" not in page
    assert page.count("Not drawn: the runs did not log it.") == 2  # these runs logged val/mae
    assert page.count("<svg ") == 7
    assert "coloured by pitch." in page
    assert "Angular error, degrees" in page
    assert "MAE, radians" in page
    assert "conr against vanilla, Angular error: few-shot falls from 18.00 to 6.00 degrees" in " ".join(page.split())


def test_page_without_predictions(group: DatasetRuns, tmp_path: Path) -> None:
    _without_predictions(group)
    page = write_report([tmp_path], tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("Not drawn: the runs kept no predictions.") == 2
    assert page.count("Not drawn: the run kept no features.") == 2


def test_predictions_that_are_all_nan_or_right(make_run: MakeRun, tmp_path: Path) -> None:
    make_gaze_run(make_run, "vanilla", 0, (math.nan, 0.0))
    make_gaze_run(make_run, "conr", 0, (0.0, 0.0))
    page = write_report([tmp_path], tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("Not drawn") == 2  # the curves of a metric that these runs did not log


def test_tables_give_the_angle_in_degrees(group: DatasetRuns, tmp_path: Path) -> None:
    text = summary_markdown([tmp_path])
    assert "Angular error of gaze in degrees" in text
