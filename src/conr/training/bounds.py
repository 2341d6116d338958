"""Bounds of a network's predictions, from its errors on the validation split: ``conr predict --interval``."""

from typing import Any

import numpy as np
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from conr.data import RegressionData
from conr.rare import GivenPredictions, RareIntervals
from conr.rare.conformal import rows_for


def check_interval(coverage: float, data: RegressionData) -> None:
    """Require a share of labels, and a dataset with one label per sample.

    Raises:
        TypeError, ValueError: a share that is none, or dense labels.
    """
    try:
        rows_for(coverage)
    except (TypeError, ValueError) as error:
        raise type(error)(f"interval: {error}") from error
    if data.dense:
        raise ValueError("interval: expected one label per sample, got dense labels")


@torch.no_grad()
def validation_bounds(trainer: Trainer, data: RegressionData, coverage: float) -> RareIntervals:
    """Calibrate intervals per group of label bins on the validation split, with the network that predicts right now.

    Args:
        trainer: that predicts.
        data: its dataset.
        coverage: share of labels that intervals are to cover, in each group.

    Returns:
        Fitted intervals, whose rows are predictions, shape (n,).

    Raises:
        ValueError: no validation split, too few samples in it, or several labels per sample.

    Notes:
        The validation split has chosen the best epoch, so that errors on it are a little smaller than on new samples.
    """
    samples: Any = data.splits.val
    if len(samples) == 0:
        raise ValueError("interval: expected a run with a validation split, got one without samples in it")
    predictions, labels = [], []
    for batch in DataLoader(samples, batch_size=data.batch_size):
        moved = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(batch))
        predictions.append(trainer.strategy.predict_step(moved, 0).double().cpu())
        labels.append(batch[1].double())
    truth = torch.cat(labels).numpy()
    if truth.ndim > 1 and truth.shape[1] > 1:
        raise ValueError(f"interval: expected one label per sample, got {truth.shape[1]}")
    bounds = RareIntervals(GivenPredictions(), coverage, cv="prefit", bins=data.splits.bins)
    try:
        return bounds.fit(torch.cat(predictions).numpy().reshape(len(truth), -1), np.ravel(truth))
    except ValueError as error:
        raise ValueError(f"interval: the validation split: {error}") from error
