"""Trains on the toy data and prints what it logged, as JSON: ``python -m tests.training.joined_run PROCESSES``.

The processes share batches of eight samples. A program of its own, as Lightning starts it once per process.
"""

import json
import sys
from functools import partial
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from tests.training.toy import Toy, trainer
from torch import nn

from conr import ConRLoss, LabelDensity
from conr.training import RegressionModule, Regularizer


class Curve(Callback):
    """Keeps the logged numbers of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the module has logged."""
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})


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
    curve = Curve()
    run = trainer(4, curve, devices=processes, strategy="ddp" if processes > 1 else "auto", precision="64-true")
    run.fit(module, datamodule=Toy(batch_size=8 // processes))
    return {"epochs": curve.epochs, "sums": [p.sum().item() for p in module.parameters()]} if run.is_global_zero else {}


if __name__ == "__main__":
    found = trained(int(sys.argv[1]))
    if found:
        print(json.dumps(found))
