import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping

from conr.cli.main import main
from conr.runs.folder import BEST_CHECKPOINT, LAST_CHECKPOINT
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.training.command import run_command
from conr.training.options import RunOptions, RunTrainer

TOY = [
    "--data=tests.training.toy.Toy",
    "--data.batch_size=12",
    "--model.encoder=conr.models.MLP",
    "--model.encoder.in_features=3",
    "--model.encoder.hidden=[8]",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.log_every_n_steps=1",
]


def fit(root: Path, *options: str) -> Path:
    return run_command(["fit", *TOY, f"--output.root={root}", *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(
        tmp_path_factory.mktemp("runs"), "--trainer.max_epochs=2", "--seed_everything=7", "--output.method=plain"
    )


def test_a_run_goes_to_its_folder_with_configuration_logs_and_checkpoints(run: Path) -> None:
    assert run.parts[-3:] == ("toy", "plain", "seed-7")
    configuration = yaml.safe_load((run / "config.yaml").read_text())
    assert configuration["trainer"]["max_epochs"] == 2
    assert configuration["model"]["encoder"]["class_path"] == "conr.models.MLP"
    assert (run / BEST_CHECKPOINT).is_file()
    assert (run / LAST_CHECKPOINT).is_file()
    assert list((run / "tensorboard").glob("events.*"))
    history = read_history(run)
    assert [epoch for epoch, _ in history["val/mae"]] == [0, 1]
    assert [epoch for epoch, _ in history["train/loss"]] == [0, 1]


def test_the_best_epoch_is_the_one_with_the_lowest_validation_error(run: Path) -> None:
    maes = dict(read_history(run)["val/mae"])
    assert torch.load(run / BEST_CHECKPOINT, weights_only=True)["epoch"] == min(maes, key=lambda epoch: maes[epoch])


def test_test_writes_result_and_outputs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["test", "--run", str(run), "--trainer.enable_progress_bar=false"]) == run
    result = RunResult.read(run)
    outputs = Outputs.read(run)
    assert (result.dataset, result.method, result.seed, result.epochs) == ("toy", "plain", 7, 2)
    assert result.label == {"name": "height", "unit": "m"}
    assert result.metrics["all"]["count"] == 12
    error = float(abs(outputs.predictions - outputs.labels).mean())
    assert result.metrics["all"]["mae"] == pytest.approx(error, rel=1e-5)
    assert outputs.ids[0] == "test-0"
    assert outputs.features.shape == (12, 8)
    assert result.checkpoint["value"] == pytest.approx(min(value for _, value in read_history(run)["val/mae"]))
    assert sum(result.bins["train_counts"]) == 24
    printed = capsys.readouterr().out
    assert "mae" in printed
    assert "few" in printed
    json.loads((run / "result.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_validate_prints_the_validation_metrics(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["validate", f"--run={run}", "--trainer.enable_progress_bar=false"])
    best = min(value for _, value in read_history(run)["val/mae"])
    assert f"{best:.4g}" in capsys.readouterr().out


def test_predict_writes_a_row_per_sample_and_overwrites_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("predictions.csv", "predictions-2.csv"):
        run_command(["predict", "--run", str(run), "--trainer.enable_progress_bar=false"])
        assert capsys.readouterr().out.splitlines()[-1] == f"predictions: {run / name}"
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"test-{i}" for i in range(12)]
    outputs = Outputs.read(run) if (run / "outputs.npz").is_file() else None
    assert all(float(row["label"]) in range(4) and float(row["prediction"]) == float(row["prediction"]) for row in rows)
    if outputs is not None:
        assert [float(row["prediction"]) for row in rows] == pytest.approx(outputs.predictions.tolist(), rel=1e-5)
    assert (run / "predictions-2.csv").read_text() == (run / "predictions.csv").read_text()


def test_no_run_overwrites_another(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "config.yaml").stat().st_mtime_ns
    second = fit(run.parents[2], "--trainer.max_epochs=0", "--seed_everything=7", "--output.method=plain")
    assert second.name == "seed-7-2"
    assert capsys.readouterr().out.splitlines()[-1] == f"run: {second}"
    assert (run / "config.yaml").stat().st_mtime_ns == before


def test_the_same_seed_gives_the_same_run(run: Path, tmp_path: Path) -> None:
    again = fit(tmp_path, "--trainer.max_epochs=2", "--seed_everything=7")
    assert read_history(again)["val/mae"] == read_history(run)["val/mae"]
    other = fit(tmp_path, "--trainer.max_epochs=2", "--seed_everything=8")
    assert read_history(other)["val/mae"] != read_history(run)["val/mae"]


def test_a_preset_is_found_by_name_and_overridden(tmp_path: Path) -> None:
    folder = run_command(
        [
            "fit",
            "--config=abalone-sqinv+conr",
            "--trainer.max_epochs=1",
            "--trainer.limit_train_batches=2",
            "--trainer.log_every_n_steps=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            "--model.encoder.hidden=[16]",
            f"--output.root={tmp_path}",
        ]
    )
    assert folder.parts[-3:] == ("abalone", "sqinv+conr", "seed-0")
    configuration = yaml.safe_load((folder / "config.yaml").read_text())
    assert configuration["model"]["regularizers"]["conr"]["loss"]["class_path"] == "conr.ConRLoss"
    assert configuration["model"]["criterion_density"]["init_args"]["scheme"] == "sqrt_inverse"
    assert configuration["model"]["encoder"]["init_args"]["hidden"] == [16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config=rotated-digts-conr"], "expected a file or DATASET-METHOD, got 'rotated-digts-conr'; did you mean"),
        (["--config", "rotated-digits-cnr"], "got 'cnr'; did you mean 'conr'"),
        (["--config=nowhere.yaml"], "expected a file or the name of a preset, found no file nowhere.yaml"),
        (["--resume"], "--resume: expected the folder of a run, got nothing"),
        (["--resume=nowhere"], "expected the folder of a run, found no folder nowhere"),
    ],
)
def test_what_cannot_be_found_is_said(options: list[str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        run_command(["fit", *options])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.max_epochs=-5", "trainer.max_epochs: expected a number of at least -1, got -5"),
        ("--trainer.limit_train_batches=-3", "trainer.limit_train_batches: expected a number of at least 0, got -3"),
        ("--data.batch_size=0", "batch_size: expected a number of at least 1, got 0"),
        ("--model.criterion_lr=-1", "criterion_lr: expected a number of at least 0, got -1"),
        ("--trainer.accelerator=mps", "trainer: `MPSAccelerator` can not run on your system"),
        ("--trainer.accelerator=nothing", "You selected an invalid accelerator name"),
        ("--trainer.precision=foo", "--trainer.precision: expected a whole number or"),
        ("--trainer.strategy=nothing", "You selected an invalid strategy name"),
    ],
)
def test_options_that_cannot_be_are_one_line_and_leave_nothing(
    option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *TOY, f"--output.root={tmp_path}", option]) == 2
    first, *rest = [line for line in capsys.readouterr().err.splitlines() if line.startswith("conr fit:")]
    assert first.startswith("conr fit: ")
    assert message in first
    assert rest == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_before_its_first_epoch_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "new" / "runs"
    broken = ["--model.encoder.in_features=4", "--trainer.max_epochs=1"]  # found out by the first batch
    with pytest.raises(ValueError, match="expected shape"):
        fit(root, *broken)
    assert not (tmp_path / "new").exists()
    (root / "toy").mkdir(parents=True)
    other = root / "toy" / "notes.txt"
    other.touch()
    with pytest.raises(ValueError, match="expected shape"):
        fit(root, *broken)
    assert [*root.rglob("*")] == [root / "toy", other]


def test_a_run_that_fails_later_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing"):
        fit(tmp_path, "--output.monitor=val/nothing", "--trainer.max_epochs=1", "--seed_everything=0")
    assert (tmp_path / "toy" / "custom" / "seed-0" / "config.yaml").is_file()


def test_other_values_that_the_trainer_refuses() -> None:
    with pytest.raises(ValueError, match=r"trainer\.accumulate_grad_batches: expected a number of at least 1"):
        RunTrainer(accumulate_grad_batches=0)
    with pytest.raises(ValueError, match=r"trainer\.check_val_every_n_epoch: expected a number of at least 1, got 0"):
        RunTrainer(check_val_every_n_epoch=0)
    with pytest.raises(ValueError, match=r"trainer\.val_check_interval: expected a number above 0, got 0"):
        RunTrainer(val_check_interval=0)
    with pytest.raises(ValueError, match=r"trainer\.limit_val_batches: expected a number above 0, as EarlyStopping"):
        RunTrainer(limit_val_batches=0, callbacks=[EarlyStopping("val/mae")])
    with pytest.raises(ValueError, match="trainer: `MPSAccelerator` can not run on your system"):
        RunTrainer(accelerator="mps")


@pytest.mark.parametrize(("typed", "read"), [("1", 1), ("1.0", 1.0)])
def test_one_batch_is_not_all_of_them(typed: str, read: float) -> None:
    found = RunOptions([*TOY, f"--trainer.limit_train_batches={typed}"]).config.trainer.limit_train_batches
    assert (found, type(found)) == (read, type(read))


def test_a_run_without_a_checkpoint_cannot_be_tested(run: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(FileNotFoundError, match=r"expected the run's best checkpoint at .*: has its first epoch ended"):
        run_command(["test", "--run", str(tmp_path)])


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    epochs = 5
    whole = fit(tmp_path / "whole", f"--trainer.max_epochs={epochs}")
    slow = ["--trainer.callbacks=tests.training.slow.SlowEpochs", f"--trainer.max_epochs={epochs}"]
    line = [sys.executable, "-m", "conr.cli.main", "fit", *TOY, *slow, f"--output.root={tmp_path / 'killed'}"]
    process = subprocess.Popen(line, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    folder = tmp_path / "killed" / "toy" / "custom" / "seed-0"
    try:
        _wait_for(folder / LAST_CHECKPOINT)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    reached = torch.load(folder / LAST_CHECKPOINT, weights_only=True)["epoch"]
    assert reached < epochs - 1, "killed too late to test anything"
    assert run_command(["fit", "--resume", str(folder), "--trainer.callbacks=[]"]) == folder
    expected, got = read_history(whole), read_history(folder)
    assert got["val/mae"] == expected["val/mae"]
    assert got["train/loss"] == expected["train/loss"]
    weights, others = (torch.load(run / LAST_CHECKPOINT, weights_only=True)["state_dict"] for run in (whole, folder))
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def _wait_for(path: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path.is_file():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)
    time.sleep(0.2)  # the file is complete when it has its name; go a little further into the next epoch
