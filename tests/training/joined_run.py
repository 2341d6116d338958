"""Trains on the toy data and prints what it logged, as JSON: ``python -m tests.training.joined_run``.

Two processes share batches of eight samples. A program of its own, as it forks, which threads of a test run forbid.
"""

import json
from functools import partial
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from tests.training.toy import Toy, trainer
from torch import nn

from conr import ConRLoss, LabelDensity
from conr.training import RegressionModule, Regularizer


class Curve(Callback):
    """Keeps the logged numbers of each epoch and sums of the trained parameters; prints them if asked to."""

    def __init__(self, *, prints: bool) -> None:
        self.prints = prints
        self.epochs: list[dict[str, float]] = []
        self.sums: list[float] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the module has logged."""
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called in each process."""
        self.sums = [parameter.sum().item() for parameter in pl_module.parameters()]
        if self.prints and trainer.is_global_zero:
            print(json.dumps({"epochs": self.epochs, "sums": self.sums}), flush=True)


def trained(processes: int) -> dict[str, Any]:
    """One process sees all eight samples of a batch, two processes see four each."""
    seed_everything(0, verbose=False)
    encoder = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 8))
    encoder.out_features = 8  # type: ignore[assignment]
    density = LabelDensity(scheme="sqrt_inverse")
    module = RegressionModule(
        encoder,
        criterion_density=LabelDensity(scheme="sqrt_inverse"),
        regularizers={"conr": Regularizer(ConRLoss(window=0.5, temperature=0.2), coefficient=2.0, density=density)},
        view_mode="two",
        optimizer=partial(torch.optim.Adam, lr=0.02),
    )
    curve = Curve(prints=processes > 1)
    strategy = "ddp_fork" if processes > 1 else "auto"
    run = trainer(4, curve, devices=processes, strategy=strategy, precision="64-true")
    run.fit(module, datamodule=Toy(batch_size=8 // processes))
    return {"epochs": curve.epochs, "sums": curve.sums}


if __name__ == "__main__":
    trained(2)
