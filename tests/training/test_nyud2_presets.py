"""The presets of NYUD2-DIR through the command line, on the miniature, with a small backbone."""

import csv
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet
from tests.data.miniature.nyud2 import FRAME, write_nyud2

from conr.methods.presets import method_names, preset_config
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.training.command import run_command

SMALL = [
    "--model.encoder.backbone=test_resnet",
    "--model.encoder.features=16",
    "--model.encoder.fused=4",
    "--model.head.in_features=16",
    "--data.batch_size=8",
    "--data.num_workers=0",
    *(f"--data.{name}={value}" for name, value in FRAME.items()),
    "--trainer.max_epochs=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nyud2(tmp_path_factory.mktemp("nyud2"))


def fit(method: str, root: Path, runs: Path, *options: str) -> Path:
    config = f"--config=nyud2-dir-{method}"
    return run_command(["fit", config, f"--data.root={root}", f"--output.root={runs}", *SMALL, *QUIET, *options])


def presets() -> list[ParameterSet]:
    """All methods; the one with all parts in the default suite, the others as slow tests."""
    fast = ("lds+conr-pixel",)
    names = [*method_names("nyud2-dir"), "lds+conr", "lds+conr-pixel"]
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("method", presets())
def test_each_preset_trains_tests_and_predicts(method: str, root: Path, tmp_path: Path) -> None:
    run = fit(method, root, tmp_path)
    history = read_history(run)
    assert [epoch for epoch, _ in history["val/brmse"]] == [0, 1]
    assert all(value > 0 for _, value in history["train/loss"])
    assert ("train/conr" in history) == ("conr" in method)
    assert all(0 <= value <= 1 for _, value in history["train/collapse"])

    run_command(["test", f"--run={run}", *QUIET], show=False)
    result = RunResult.read(run)
    assert (result.dataset, result.method, result.headline) == ("nyud2-dir", method, "rmse")
    assert result.checkpoint["monitor"] == "val/brmse"
    assert result.checkpoint["value"] == min(value for _, value in history["val/brmse"])
    metrics = result.metrics
    assert metrics["all"]["count"] == sum(metrics[region]["count"] for region in ("many", "median", "few"))
    assert metrics["all"]["rmse"] == pytest.approx(metrics["all"]["brmse"])  # the test mask is balanced
    assert sum(result.bins["train_counts"]) == 24 * 44 * 60

    check_outputs_and_predictions(run)


def check_outputs_and_predictions(run: Path) -> None:
    outputs = Outputs.read(run)
    assert len(outputs.ids) == 8 * 64
    assert outputs.features.shape == (512, 16)
    run_command(["predict", f"--run={run}", *QUIET])
    with (run / "predictions" / "index.csv").open() as file:
        maps = {row["id"]: np.load(run / "predictions" / row["file"]) for row in csv.DictReader(file)}
    assert len(maps) == 8
    for name, prediction in zip(outputs.ids, outputs.predictions, strict=True):
        image, row, column = name.rsplit(":", 2)
        assert maps[image].shape == (44, 60)
        assert maps[image][int(row), int(column)] == pytest.approx(prediction, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_training_learns_what_the_miniature_shows(root: Path, tmp_path: Path) -> None:
    """Near is bright: some epochs at a high learning rate beat the best constant."""
    run = fit("vanilla", root, tmp_path, "--trainer.max_epochs=12", "--model.optimizer.lr=0.01")
    errors = dict(read_history(run)["val/rmse"])
    assert min(errors.values()) < 0.7 * errors[0]


def test_the_published_settings() -> None:
    base = preset_config("nyud2-dir-vanilla")
    assert base["trainer"]["max_epochs"] == 20
    assert base["data"]["init_args"]["batch_size"] == 32
    assert base["model"]["optimizer"]["init_args"] == {"lr": 1e-4, "weight_decay": 1e-4}
    assert base["model"]["scheduler"]["init_args"] == {"step_size": 5, "gamma": 0.1}
    mix = preset_config("nyud2-dir-lds+conr")["model"]
    assert mix["criterion_density"]["init_args"]["first_bin"] == 7
    assert mix["view_mode"] == "three"
    settings = mix["regularizers"]["conr"]
    assert settings["coefficient"] == 0.2
    assert {settings["loss"]["init_args"][name] for name in ("window", "temperature", "distance_scale")} == {0.2}
    with pytest.raises(ValueError, match="contradict each other in 'reduce'"):
        preset_config("nyud2-dir-conr+conr-pixel")
    with pytest.raises(ValueError, match=r"expected a method of .* on nyud2-dir, got 'ranksim'"):
        preset_config("nyud2-dir-ranksim")


def test_a_broken_image_stops_training_with_its_row(root: Path, tmp_path: Path) -> None:
    copy = write_nyud2(tmp_path / "copy")
    for path in (copy / "data/nyu2_train").rglob("4.jpg"):
        path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"nyu2_train\.csv, row \d+: expected a readable image at .*4\.jpg"):
        fit("vanilla", copy, tmp_path)
    assert list(tmp_path.rglob("*.ckpt")) == []
