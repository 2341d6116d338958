"""FDS in `RegressionModule`: its bins, its epochs, what regularizers see of it, and a run that is resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from tests.training.stop_after import StoppedError
from tests.training.test_command import TOY
from tests.training.toy import Toy, trainer
from torch import Tensor, nn

from conr.models import MLP
from conr.runs.folder import LAST_CHECKPOINT
from conr.runs.history import read_history
from conr.smoothing import FDS
from conr.training import RegressionModule, Regularizer
from conr.training.command import run_command


class Sees(nn.Module):
    """Keeps what a regularizer is called with, and what the head makes of the same features."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor) -> Tensor:
        self.calls.append((features.detach(), predictions))
        return 0 * features.sum()


def train(epochs: int, **options: Any) -> tuple[RegressionModule, Trainer]:
    module = RegressionModule(MLP(3, hidden=(8, 6)), **options)
    run = trainer(epochs)
    run.fit(module, datamodule=Toy(batch_size=12))
    return module, run


def test_a_smoother_is_sized_by_the_encoder_and_gets_the_bins_of_the_dataset() -> None:
    module, _ = train(2, smoothing=FDS, standardise_labels=True)
    layer = module.smoothing
    assert isinstance(layer, FDS)
    assert layer.num_features == 6
    assert layer.bins == Toy().splits.bins
    assert layer.epoch == 2
    assert layer.calibration.count.sum() == 2 * 2 * 24  # two epochs of two views
    assert not layer.moments.count.any()


def test_regularizers_see_features_and_predictions_before_smoothing() -> None:
    seen = Sees()

    class Watched(RegressionModule):
        def on_before_zero_grad(self, optimizer: Any) -> None:
            features, predictions = seen.calls[-1]
            torch.testing.assert_close(predictions, before(features))
            assert not predictions.requires_grad

    module = Watched(MLP(3, hidden=(8, 6)), smoothing=FDS, regularizers={"sees": Regularizer(seen)}, view_mode="one")

    def before(features: Tensor) -> Tensor:
        with torch.no_grad():
            return module.head(features)  # type: ignore[no-any-return]

    smoothed: list[bool] = []
    module.smoothing.register_forward_hook(  # type: ignore[union-attr]
        lambda _layer, inputs, output: smoothed.append(not torch.equal(inputs[0], output))
    )
    trainer(2).fit(module, datamodule=Toy(batch_size=12))
    assert smoothed == [False, False, True, True]
    assert len(seen.calls) == 4


def test_a_run_resumed_after_an_epoch_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    options = [*TOY, "--model.smoothing=conr.smoothing.VariationalFDS", "--seed_everything=3"]
    whole = run_command(["fit", *options, "--trainer.max_epochs=4", f"--output.root={tmp_path / 'whole'}"])
    stop = ["--trainer.callbacks=tests.training.stop_after.StopAfter", "--trainer.callbacks.epochs=2"]
    with pytest.raises(StoppedError):
        run_command(["fit", *options, *stop, "--trainer.max_epochs=4", f"--output.root={tmp_path / 'stopped'}"])
    stopped = tmp_path / "stopped" / whole.relative_to(tmp_path / "whole")
    assert torch.load(stopped / LAST_CHECKPOINT, weights_only=True)["epoch"] == 1
    assert run_command(["fit", "--resume", str(stopped), "--trainer.callbacks=[]"]) == stopped
    assert read_history(stopped)["train/loss"] == read_history(whole)["train/loss"]
    states = [torch.load(run / LAST_CHECKPOINT, weights_only=True)["state_dict"] for run in (whole, stopped)]
    assert states[0]["smoothing.means.count"].sum() == 4 * 2 * 24
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
