"""A dataset of 48 points on a line, small enough that a run takes a second, and what trains on it."""

from typing import Any

import torch
from lightning import Callback, Trainer

from conr.data import ArrayDataset, RegressionData, Splits
from conr.density import Bins


class Toy(RegressionData):
    name = "toy"
    label_name = "height"
    label_unit = "m"
    many = 6
    few = 3

    def load(self) -> Splits:
        return Splits(_split(24, 0, "train"), _split(12, 1, "val"), _split(12, 2, "test"), Bins([0, 1, 2, 3, 4]))


def _split(n: int, seed: int, name: str) -> ArrayDataset:
    generator = torch.Generator().manual_seed(seed)
    labels = (4 * torch.rand(n, generator=generator) ** 2).floor()
    inputs = labels.unsqueeze(1) + 0.3 * torch.randn(n, 3, generator=generator)
    return ArrayDataset(inputs, labels, [f"{name}-{i}" for i in range(n)])


def trainer(epochs: int = 1, *callbacks: Callback, **settings: Any) -> Trainer:
    """On the CPU, without files and without a word."""
    without = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given: dict[str, Any] = {"accelerator": "cpu"} | dict.fromkeys(without, False) | settings
    return Trainer(max_epochs=epochs, callbacks=list(callbacks), **given)
