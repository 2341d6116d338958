"""A finished run as objects: its dataset and its network, untrained and trained."""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning import Trainer
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from conr._checks import check_choice
from conr.data import RegressionData
from conr.runs.folder import best_checkpoint, read_config
from conr.training.checkpoints import first_line, read_checkpoint
from conr.training.module import RegressionModule
from conr.training.options import RunOptions

_OF_FIT = ("ckpt_path", "weights_only")  # arguments of the verb, which a run without one does not have


class LoadedRun(NamedTuple):
    """Dataset and network of a run, as `load_run` gives them."""

    data: RegressionData  # the dataset
    module: RegressionModule  # the network, in evaluation mode
    method: str  # as the run is called
    monitor: str  # the validation metric that chose the best epoch


def load_run(folder: Path, *, trained: bool = True) -> LoadedRun:
    """Build a run's dataset and network from its folder.

    Args:
        folder: of the run.
        trained: with the weights of the best epoch; else as the run's seed initialises them.

    Raises:
        FileNotFoundError: no run's folder, or one without a best checkpoint.
        ValueError: a configuration that does not parse, or a checkpoint that breaks or does not fit the network.

    Notes:
        The checkpoint is read without executing code from it. The configuration names classes, which are imported: do
        not load the run of someone you do not trust.
    """
    checkpoint = best_checkpoint(folder)
    without_fit = {name: value for name, value in read_config(folder).items() if name not in _OF_FIT}
    options = RunOptions([f"--config={json.dumps({'seed_everything': 0} | without_fit)}"])
    built: Any = options.parser.instantiate_classes(options.config)
    data, module = cast("RegressionData", built.data), cast("RegressionModule", built.model)
    data.protocol = built.protocol
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    cast("Any", trainer).datamodule = data
    module.trainer = trainer
    module.setup("test")
    if trained:
        content = read_checkpoint(checkpoint)
        try:
            module.load_state_dict(content["state_dict"])
        except RuntimeError as error:
            raise ValueError(
                f"{checkpoint}: expected a checkpoint of this run, got one that does not fit it: {first_line(error)}"
            ) from error
    return LoadedRun(data, module.eval(), built.output.method, built.output.monitor)


class SplitPredictions(NamedTuple):
    """Predictions and labels of a split by the network of a run.

    Attributes:
        predictions: shape (n,) or (n, k), in label units.
        labels: like ``predictions``.
    """

    predictions: NDArray[np.float64]
    labels: NDArray[np.float64]


@torch.no_grad()
def split_predictions(folder: Path, *, split: str = "val") -> SplitPredictions:
    """Predictions and labels of a split by the network of a run, for `conr.rare.Rebalanced` and `RareIntervals`.

    Args:
        folder: of the run.
        split: "val" or "test".

    Raises:
        FileNotFoundError, ValueError, SystemExit: as `load_run`; an unknown split, or dense labels.

    Notes:
        The validation split has chosen the best epoch, so that errors on it are a little smaller than on new samples.
    """
    check_choice("split", split, ("val", "test"))
    run = load_run(folder)
    if run.data.dense:
        raise ValueError(f"{folder}: expected a run with one label per sample, got one with dense labels")
    loader: DataLoader[Any] = DataLoader(getattr(run.data.splits, split), batch_size=run.data.batch_size)
    parts = [run.module.test_step(batch, 0) for batch in loader]
    labels = torch.cat([part["labels"] for part in parts]).double().numpy()
    predictions = torch.cat([part["predictions"] for part in parts]).double().numpy()
    return SplitPredictions(predictions.reshape(labels.shape), labels)
