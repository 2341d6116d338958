import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from tests.oracles.schedules import retrained_head
from tests.training.test_command import fit
from tests.training.toy import Toy, trainer
from torch import Tensor, nn

from conr.data import ArrayDataset, RegressionData, Splits, TableViews
from conr.density import Bins, LabelDensity
from conr.losses import BMC, MSE, RankNContrastLoss
from conr.methods.presets import dataset_names, method_names, preset_config
from conr.runs.folder import (
    BEST_CHECKPOINT,
    CONFIG,
    FIRST_STAGE,
    FIRST_STAGE_EPOCHS,
    LAST_CHECKPOINT,
    resume_checkpoint,
)
from conr.runs.history import read_history
from conr.runs.results import RunResult
from conr.training import RRT, HeadRetraining, RegressionModule, Regularizer
from conr.training.command import run_command
from conr.training.retraining import encoder_checkpoint


class Encoder(nn.Sequential):
    """With all that train mode changes."""

    out_features = 4

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))


class Loud(nn.Module):
    """A regularizer that must not be called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None) -> Tensor:
        self.calls += 1
        return features.sum() * 0


def module(**settings: Any) -> RegressionModule:
    torch.manual_seed(len(settings))
    return RegressionModule(Encoder(), **settings)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.05)


def lbfgs(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(parameters, max_iter=50, tolerance_grad=1e-9, tolerance_change=1e-12)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[RegressionModule, Path]:
    """A trained module and its checkpoint."""
    trained = module(optimizer=adam)
    run = trainer(3)
    run.fit(trained, datamodule=Toy(batch_size=8))
    path = tmp_path_factory.mktemp("first") / "best.ckpt"
    run.save_checkpoint(path)
    return trained, path


def retrain(second: RegressionModule, rrt: RRT, checkpoint: Path, data: RegressionData | None = None) -> Trainer:
    run = trainer(rrt.epochs, HeadRetraining(rrt, checkpoint=checkpoint))
    run.fit(second, datamodule=Toy(batch_size=8) if data is None else data)
    return run


def test_the_head_alone_learns_on_an_encoder_that_stays_as_it_is(first: tuple[RegressionModule, Path]) -> None:
    trained, path = first
    loud = Loud()
    second = module(optimizer=adam, regularizers={"loud": Regularizer(loud)}, views=TableViews(), view_mode="three")
    heads = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            heads.append(copy.deepcopy(pl_module.head.state_dict()))
            assert not any(part.training for part in pl_module.encoder.modules())
            assert pl_module.head.training

    run = trainer(2, HeadRetraining(RRT(epochs=2), checkpoint=path), Watch())
    run.fit(second, datamodule=Toy(batch_size=8))
    expected = trained.encoder.state_dict()  # batch norm's statistics and its counter too
    assert all(torch.equal(value, expected[name]) for name, value in second.encoder.state_dict().items())
    assert len(heads) == 6
    assert not torch.equal(heads[0]["linear.weight"], heads[-1]["linear.weight"])
    assert loud.calls == 0
    assert second.view_mode == "one"
    assert second.views is not None


def test_a_new_head_is_new_and_a_trained_one_is_the_first_stage_s(first: tuple[RegressionModule, Path]) -> None:
    trained, path = first
    for new_head in (False, True):
        second = module(optimizer=sgd, criterion=MSE())
        before = copy.deepcopy(second.head.state_dict())
        retrain(second, RRT(epochs=1, lr=1e-12, new_head=new_head), path)
        expected = before if new_head else trained.head.state_dict()
        for name, value in second.head.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-8)


class Four(RegressionData):
    """Four training samples, three of them in one bin."""

    name = "four"
    label_name = "label"

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        super().__init__(batch_size=len(labels))
        self.inputs, self.labels = inputs, labels

    def load(self) -> Splits:
        split = ArrayDataset(self.inputs, self.labels)
        return Splits(split, split, split, Bins([0, 1, 2, 3, 4]))


class Plain(nn.Identity):
    out_features = 2


def solution(tmp_path: Path, data: Four, rrt: RRT) -> list[float]:
    """Coefficients and intercept that the second stage arrives at."""
    encoder = Plain()
    start = RegressionModule(encoder, criterion=MSE(), optimizer=sgd)
    run = trainer(0)
    run.strategy.connect(start)
    torch.save({"state_dict": start.state_dict()}, tmp_path / "first.ckpt")
    second = RegressionModule(encoder, criterion=MSE(), optimizer=lbfgs, view_mode="one")
    retrain(second, rrt, tmp_path / "first.ckpt", data)
    linear = second.head.linear
    return [*linear.weight.flatten().tolist(), *linear.bias.tolist()]  # type: ignore[union-attr,operator]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_head_arrives_at_the_weighted_least_squares_of_the_oracle(power: float, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (4 * torch.rand(20, generator=generator) ** 3).floor()
    inputs = torch.stack((labels / 4, labels % 2), dim=1) + 0.5 * torch.randn(20, 2, generator=generator)
    expected = retrained_head(inputs.double().tolist(), labels.tolist(), [0, 1, 2, 3, 4], power)
    found = solution(tmp_path, Four(inputs, labels), RRT(epochs=4, power=power))
    assert found == pytest.approx(expected, abs=1e-4)
    if power == 1:
        by_density = RRT(epochs=4, density=LabelDensity(scheme="inverse"))
        assert solution(tmp_path, Four(inputs, labels), by_density) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("power", "mean"), [(0.0, 1 / 4), (0.5, 1 / (1 + 3**0.5)), (1.0, 1 / 2)])
def test_four_samples_by_hand(power: float, mean: float, tmp_path: Path) -> None:
    """Without inputs a head predicts a weighted mean: of 0 0 0 1, whose weights are 3^-p three times, and 1."""
    data = Four(torch.zeros(4, 2), torch.tensor([0.0, 0.0, 0.0, 1.0]))
    assert solution(tmp_path, data, RRT(epochs=4, power=power))[2] == pytest.approx(mean, abs=1e-5)


def test_rate_and_epochs_are_those_of_the_second_stage(first: tuple[RegressionModule, Path]) -> None:
    rates: list[list[float]] = []
    epochs: list[int] = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
            rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
            epochs.append(trainer.current_epoch)

    second = module(optimizer=adam, criterion=BMC(noise_scale=2.0), criterion_lr=0.02, scheduler="constant")
    run = trainer(9, HeadRetraining(RRT(epochs=2, lr=0.1), checkpoint=first[1], first_epoch=7), Watch())
    run.fit(second, datamodule=Toy(batch_size=12))
    assert epochs == [7, 7, 8, 8]
    assert [rate for rate, _ in rates] == pytest.approx([0.1, 0.1, 0.05, 0.05])
    assert {rate for _, rate in rates} == {0.02}
    assert second.criterion.noise_scale().item() != pytest.approx(2.0)  # type: ignore[operator]


def test_what_cannot_be_retrained_is_said(first: tuple[RegressionModule, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rrt\.epochs: expected a number of at least 1, got 0"):
        RRT(epochs=0)
    with pytest.raises(ValueError, match=r"rrt\.power: expected a number of at least 0, got -1"):
        RRT(power=-1)
    with pytest.raises(ValueError, match=r"rrt\.lr: expected a number above 0, got 0"):
        RRT(lr=0)
    with pytest.raises(FileNotFoundError, match="expected a checkpoint of a trained encoder, found no file"):
        HeadRetraining(RRT(), checkpoint=tmp_path / "no.ckpt")
    with pytest.raises(ValueError, match="first_epoch: expected a number of at least 0, got -1"):
        HeadRetraining(RRT(), checkpoint=first[1], first_epoch=-1)
    other = RegressionModule(Plain())
    with pytest.raises(ValueError, match=r"(?s)expected the encoder of this run, got another one: .*Unexpected key"):
        retrain(other, RRT(epochs=1), first[1])


# On the command line

EPOCHS = ["--trainer.max_epochs=3", "--rrt.epochs=2", "--rrt.lr=0.01"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("whole"), *EPOCHS, "--sampling_power=0.5")


def same_end(run: Path, other: Path) -> None:
    one, two = (torch.load(folder / LAST_CHECKPOINT, weights_only=True) for folder in (run, other))
    assert one["epoch"] == two["epoch"] == 4
    assert all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())
    histories = [read_history(folder) for folder in (run, other)]
    for name in ("val/mae", "train/loss"):
        assert histories[0][name] == histories[1][name]


def test_a_run_has_two_stages_in_one_folder_and_is_tested_at_the_best_epoch_of_the_second(whole: Path) -> None:
    history = read_history(whole)
    maes = dict(history["val/mae"])
    assert list(maes) == [0, 1, 2, 3, 4]
    rates = {name: dict(values) for name, values in history.items() if name.startswith("lr-")}
    (rate,) = rates.values()
    assert (rate[3], rate[4]) == pytest.approx((0.01, 0.005))
    assert int((whole / FIRST_STAGE_EPOCHS).read_text()) == 3
    first, best = (
        torch.load(path, weights_only=True) for path in (whole / FIRST_STAGE / "best.ckpt", whole / BEST_CHECKPOINT)
    )
    assert first["epoch"] == min((0, 1, 2), key=lambda epoch: maes[epoch])
    assert best["epoch"] == min((3, 4), key=lambda epoch: maes[epoch])
    encoders = [
        {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("encoder.")}
        for checkpoint in (first, best)
    ]
    assert all(torch.equal(value, encoders[1][name]) for name, value in encoders[0].items())
    assert run_command(["test", "--run", str(whole), "--trainer.enable_progress_bar=false"]) == whole
    result = RunResult.read(whole)
    assert (result.epochs, result.checkpoint["path"]) == (5, "checkpoints/best.ckpt")
    assert result.checkpoint["value"] == pytest.approx(min(maes[3], maes[4]))
    assert (whole / "tensorboard" / "second-stage").is_dir()


def test_a_run_killed_between_its_stages_begins_the_second(whole: Path, tmp_path: Path) -> None:
    killed = shutil.copytree(whole, tmp_path / "killed", ignore=shutil.ignore_patterns("version_1", "second-stage"))
    (killed / LAST_CHECKPOINT).unlink()
    (killed / BEST_CHECKPOINT).unlink()
    assert resume_checkpoint(killed) is None
    assert run_command(["fit", "--resume", str(killed)]) == killed
    same_end(whole, killed)


def test_a_run_killed_in_either_stage_goes_on_as_if_nothing_had_happened(whole: Path, tmp_path: Path) -> None:
    """In the first, when it has ended but nothing says so, and in the second."""
    for stop in (2.5, 3):
        root = tmp_path / str(stop)
        with pytest.raises(RuntimeError, match="stopped"):
            fit(
                root,
                *EPOCHS,
                "--sampling_power=0.5",
                "--trainer.callbacks=tests.training.stopping.StopsIn",
                f"--trainer.callbacks.epoch={stop}",
            )
        (folder,) = root.glob("toy/custom/seed-0")
        assert (folder / CONFIG).is_file()
        assert run_command(["fit", "--resume", str(folder), "--trainer.callbacks=[]"]) == folder
        same_end(whole, folder)


def test_the_encoder_is_from_the_first_stage_a_file_or_an_earlier_run(whole: Path) -> None:
    own, given = RRT(), RRT(checkpoint=str(whole), epoch="last")
    assert encoder_checkpoint(own, whole) == whole / FIRST_STAGE / "best.ckpt"
    assert encoder_checkpoint(given, Path("elsewhere")) == whole / LAST_CHECKPOINT
    assert encoder_checkpoint(RRT(checkpoint=str(whole / CONFIG)), whole) == whole / CONFIG


def test_retraining_from_a_checkpoint_is_the_second_stage(tmp_path: Path) -> None:
    """Same numbers: neither the epochs' numbers nor where the encoder comes from matters, for whole batches."""
    options = ("--rrt.epochs=2", "--rrt.lr=0.01", "--data.batch_size=24")
    both = fit(tmp_path / "both", "--trainer.max_epochs=2", *options)
    encoder = f"--rrt.checkpoint={both / FIRST_STAGE / 'best.ckpt'}"
    second = fit(tmp_path / "second", "--trainer.max_epochs=2", *options, encoder)
    assert not (second / FIRST_STAGE).exists()
    history, joint = read_history(second)["val/mae"], read_history(both)["val/mae"]
    assert [epoch for epoch, _ in history] == [0, 1]
    assert [value for _, value in history] == pytest.approx([value for _, value in joint[2:]], rel=1e-5)


def test_a_first_stage_without_criterion_trains_the_encoder_by_its_regularizers_and_the_head_comes_after(
    tmp_path: Path,
) -> None:
    pretraining = [
        "--model.criterion_coefficient=0",
        "--model.regularizers={rnc: {loss: {class_path: conr.losses.RankNContrastLoss}}}",
        "--rrt.epoch=last",
    ]
    run = fit(tmp_path, *EPOCHS, *pretraining)
    first, last = (
        torch.load(path, weights_only=True)
        for path in (run / FIRST_STAGE / LAST_CHECKPOINT.name, run / LAST_CHECKPOINT)
    )
    assert first["epoch"] == 2
    own, other = first["state_dict"], last["state_dict"]
    assert all(torch.equal(value, other[name]) for name, value in own.items() if name.startswith("encoder."))
    history = read_history(run)
    losses = {name: dict(history[f"train/{name}"]) for name in ("loss", "criterion", "rnc")}
    assert [losses["loss"][epoch] for epoch in range(3)] == [losses["rnc"][epoch] for epoch in range(3)]
    assert [losses["loss"][epoch] for epoch in (3, 4)] == [losses["criterion"][epoch] for epoch in (3, 4)]
    assert losses["rnc"][2] < losses["rnc"][0]


def test_the_head_learns_nothing_without_criterion() -> None:
    alone = module(optimizer=adam, criterion_coefficient=0.0, regularizers={"rnc": Regularizer(RankNContrastLoss())})
    before = copy.deepcopy(alone.head.state_dict())
    encoder = copy.deepcopy(alone.encoder.state_dict())
    trainer(1).fit(alone, datamodule=Toy(batch_size=8))
    assert all(torch.equal(value, alone.head.state_dict()[name]) for name, value in before.items())
    assert not torch.equal(encoder["0.weight"], alone.encoder.state_dict()["0.weight"])


@pytest.mark.parametrize("coefficient", [-1.0, float("nan")])
def test_a_criterion_coefficient_below_zero_is_refused(coefficient: float) -> None:
    with pytest.raises(ValueError, match="criterion_coefficient: expected"):
        module(criterion_coefficient=coefficient)


def test_an_epoch_that_is_neither_best_nor_last_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rrt.epoch: expected .*'best'"):
        RRT(epoch="bst")


def test_presets_join_on_every_dataset_with_labels_per_sample() -> None:
    for dataset in dataset_names():
        known = method_names(dataset)
        assert ("rrt" in known) == ("balanced-sampling" in known) == (dataset != "nyud2-dir")
        if "rrt" in known:
            settings = RRT(**preset_config(f"{dataset}-conr+rrt")["rrt"])
            assert settings.checkpoint is None
            assert preset_config(f"{dataset}-conr+balanced-sampling")["sampling_power"] == 0.5
    assert np.isclose(preset_config("rotated-digits-conr+rrt+balanced-sampling")["rrt"]["epochs"], 10)
