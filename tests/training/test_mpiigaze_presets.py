"""Every preset of MPIIGaze-DIR through the command line, on drawn eyes."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from tests.data.miniature.mpiigaze import PERSONS, make_mpiigaze

from conr.cli.main import main
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("MPIIGaze")
    make_mpiigaze(folder)
    return folder


def fit(preset: str, root: Path, runs: Path, *options: str) -> int:
    words = [
        f"--config={preset}",
        f"--data.root={root}",
        f"--data.persons={json.dumps(PERSONS)}",
        f"--output.root={runs}",
        "--trainer.max_epochs=2",
        "--trainer.log_every_n_steps=1",
        "--trainer.enable_model_summary=false",
    ]
    return main(["fit", *words, *QUIET, *options])


# Of the rows of the benchmark; methods for labels of one dimension (SRL, ...) refuse gaze directions.
PRESETS = ["vanilla", "lds+conr"]


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Presets trained for two epochs (of two batches, to save time) and tested."""
    folder = tmp_path_factory.mktemp("runs")
    for method in PRESETS:
        assert fit(f"mpiigaze-dir-{method}", root, folder, "--trainer.limit_train_batches=2") == 0, method
        assert main(["test", f"--run={run_of(folder, method)}", *QUIET]) == 0, method
    return folder


def run_of(runs: Path, method: str) -> Path:
    return runs / "mpiigaze-dir" / method / "seed-0"


@pytest.mark.parametrize("method", PRESETS)
def test_every_preset_trains_tests_and_predicts(method: str, runs: Path) -> None:
    run = run_of(runs, method)
    result, outputs = RunResult.read(run), Outputs.read(run)
    assert (result.method, result.epochs, result.headline) == (method, 2, "angular")
    assert result.checkpoint["monitor"] == "val/angular"
    assert result.label == {"name": "gaze", "unit": "radians", "dimensions": ["pitch", "yaw"]}
    assert 0 < result.metrics["all"]["angular"] < 90
    assert all(result.metrics[region]["count"] > 0 for region in ("many", "median", "few"))
    assert outputs.labels.shape == outputs.predictions.shape == (result.metrics["all"]["count"], 2)
    assert outputs.features.shape[1] == 502
    assert main(["predict", f"--run={run}", *QUIET]) == 0
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == outputs.ids.tolist()
    assert [float(row["prediction_1"]) for row in rows] == pytest.approx(outputs.predictions[:, 1].tolist(), abs=1e-5)


def test_all_runs_report(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(runs), f"--out={page}"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Angular error, degrees" in text
    assert "Shot regions" in text
    assert "Not drawn" not in text
    assert all(f"All settings of {method}" in text for method in PRESETS)


def test_conr_compares_directions_and_weights_cells(runs: Path) -> None:
    configuration = yaml.safe_load((run_of(runs, "lds+conr") / "config.yaml").read_text())
    conr = configuration["model"]["regularizers"]["conr"]
    assert conr["loss"]["init_args"]["distance"] == configuration["model"]["collapse_distance"] == "angular"
    assert conr["loss"]["init_args"]["window"] == configuration["model"]["collapse_window"] == 0.035
    assert conr["density"]["init_args"]["scheme"] == "sqrt_inverse"
    assert configuration["model"]["criterion_density"]["init_args"]["kernel"] == "gaussian"
    assert configuration["data"]["init_args"]["batch_size"] == 32


def test_files_that_are_not_there_are_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("mpiigaze-dir-vanilla", root, tmp_path, '--data.persons=["p00", "p09"]') == 2
    assert "expected the list of samples of p09, found no file" in capsys.readouterr().err
    assert fit("mpiigaze-dir-vanilla", root / "typo", tmp_path) == 2
    assert f"root: expected the folder of MPIIGaze, found no folder {root / 'typo'}" in capsys.readouterr().err


@pytest.mark.slow
def test_lenet_learns_where_eyes_look(root: Path, tmp_path: Path) -> None:
    """Thirty epochs on 140 eyes: far better than the mean label, whose few-shot error is above 15 degrees."""
    options = ["--trainer.max_epochs=30", "--model.scheduler=cosine"]
    assert fit("mpiigaze-dir-conr", root, tmp_path, *options) == 0
    run = run_of(tmp_path, "conr")
    assert main(["test", f"--run={run}", *QUIET]) == 0
    metrics = RunResult.read(run).metrics
    assert metrics["all"]["angular"] < 2.5
    assert metrics["few"]["angular"] < 5
