"""Callbacks of a run: seeds for exact resuming, time and memory, and the files that it leaves."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from conr.data import RegressionData
from conr.data.sampling import mixed_seed
from conr.methods.automatic import put_numbers_in
from conr.runs.atomic import write_csv, write_text
from conr.runs.environment import environment
from conr.runs.folder import CONFIG, read_config
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.runs.saving import save_run
from conr.runs.yaml_text import yaml_text
from conr.training.checkpoints import read_checkpoint
from conr.training.memory import peak_memory, reset_peak_memory
from conr.training.metrics_table import metrics_by_region
from conr.training.module import RegressionModule


class EpochSeed(Callback):
    """Seed all randomness anew in each epoch, from the run's seed, the epoch and the process.

    A resumed run therefore goes on exactly as the killed one would have. The seed is set before the first batch and not
    before the epoch: Lightning draws random numbers in between, more of them in a run that was not resumed.

    Args:
        seed: of the run; torch's initial seed if None.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = torch.initial_seed() if seed is None else seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed Python, NumPy and torch before the first batch of an epoch."""
        if batch_idx == 0:
            seed = mixed_seed(self._seed, trainer.current_epoch, trainer.global_rank)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  the global state is what others draw from
            torch.manual_seed(seed)


class EpochClock(Callback):
    """Log the seconds that each epoch took, validation included, and the peak memory of training so far, in bytes.

    They are ``train/seconds`` and, where it can be measured, ``train/peak_memory``.

    Args:
        on_epoch: called with the number of each epoch that has ended.
    """

    def __init__(self, on_epoch: Callable[[int], None] | None = None) -> None:
        self._start = 0.0
        self._measures_memory = False
        self._on_epoch = on_epoch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what memory was used before."""
        self._measures_memory = reset_peak_memory(pl_module.device)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log time and memory, and tell who waits for it."""
        pl_module.log("train/seconds", time.perf_counter() - self._start)
        peak = peak_memory(pl_module.device) if self._measures_memory else None
        if peak is not None:
            pl_module.log("train/peak_memory", float(peak))
        if self._on_epoch is not None:
            self._on_epoch(trainer.current_epoch)


class ResolvedNumbers(Callback):
    """Replace "auto" in a run's configuration by the numbers that it trains with, and give them to its loggers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the numbers, as the module knows them since its setup."""
        if not (isinstance(pl_module, RegressionModule) and pl_module.resolved and trainer.is_global_zero):
            return
        numbers = {name.rpartition(".")[2]: value for name, value in pl_module.resolved.items()}
        config = read_config(self.folder)
        text = yaml_text(config | {"model": put_numbers_in(config["model"], numbers)})
        write_text(self.folder / CONFIG, text)
        for logger in trainer.loggers:
            logger.log_hyperparams(pl_module.resolved)


@dataclass(eq=False)
class ResultWriter(Callback):
    """After a test, write ``result.json`` and ``outputs.npz`` into the run's folder."""

    folder: Path  # the run's folder
    method: str  # name of the method in tables
    seed: int | None  # the run's seed
    checkpoint: Path | None  # the tested checkpoint
    monitor: str  # the validation metric that chose it

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse several processes: their samplers repeat samples, and the metrics would count these twice."""
        if trainer.world_size > 1:
            raise ValueError(f"test: expected one process (--trainer.devices 1), got {trainer.world_size}")
        self._outputs: list[dict[str, Tensor]] = []
        self._images = 0

    def on_test_batch_end(  # noqa: PLR0917  Lightning's signature
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what the model gave for a batch."""
        kept = {name: value.detach().float().cpu() for name, value in outputs.items()}
        if "pixels" in kept:  # dense labels: positions in the batch become positions in the dataset
            kept["pixels"][:, 0] += self._images
        self._images += len(batch[1])
        self._outputs.append(kept)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files."""
        data: RegressionData = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(pl_module, RegressionModule)  # noqa: S101  the command builds no other
        gathered = {name: torch.cat([output[name] for output in self._outputs]) for name in self._outputs[0]}
        outputs = Outputs.of(
            _names(data.splits.test.ids, gathered),
            gathered["labels"].numpy(),
            gathered["predictions"].numpy(),
            lambda kept: gathered["features"][kept].numpy(),
        )
        save_run(self.folder, self._result(trainer, data, pl_module), outputs)

    def _result(self, trainer: Trainer, data: RegressionData, module: RegressionModule) -> RunResult:
        history = read_history(self.folder)
        epochs = [epoch for values in history.values() for epoch, _ in values]
        peaks = [bytes_used for _, bytes_used in history.get("train/peak_memory", [])]
        return RunResult(
            **data.described(),
            bins=module.shot_density.table(),
            method=self.method,
            seed=self.seed,
            metrics=metrics_by_region(trainer.callback_metrics, "test/"),
            checkpoint=self._checkpoint_summary(history),
            epochs=max(epochs) + 1 if epochs else 0,
            train_seconds=sum(seconds for _, seconds in history.get("train/seconds", [])),
            **environment(trainer.strategy.root_device.type, "lightning"),
            peak_memory=int(max(peaks)) if peaks else None,
        )

    def _checkpoint_summary(self, history: dict[str, list[tuple[int, float]]]) -> dict[str, Any]:
        if self.checkpoint is None:
            return {"path": None, "epoch": None, "monitor": self.monitor, "value": None}
        epoch = read_checkpoint(self.checkpoint)["epoch"]
        inside = self.checkpoint.is_relative_to(self.folder)
        return {
            "path": str(self.checkpoint.relative_to(self.folder) if inside else self.checkpoint),
            "epoch": epoch,
            "monitor": self.monitor,
            "value": dict(history.get(self.monitor, [])).get(epoch),
        }


def _names(ids: Sequence[str], gathered: dict[str, Tensor]) -> list[str]:
    if "pixels" not in gathered:
        return list(ids[: len(gathered["labels"])])
    return [f"{ids[image]}:{row}:{column}" for image, row, column in gathered["pixels"].long().tolist()]


class PredictionWriter(BasePredictionWriter):
    """Write the predictions of all samples as CSV: id, label if known, prediction (one column per label dimension).

    Args:
        path: the file; it must not exist.
        interval: share of labels that two more columns, ``low`` and ``high``, are to bound; none if None.
    """

    def __init__(self, path: Path, interval: float | None = None) -> None:
        super().__init__(write_interval="epoch")
        self.path = path
        self.coverage = interval
        self._bounds: Any = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Calibrate the bounds, before any time goes into predictions."""
        if self.coverage is not None:
            from conr.training.bounds import validation_bounds  # noqa: PLC0415  loads scikit-learn

            self._bounds = validation_bounds(trainer, trainer.datamodule, self.coverage)  # type: ignore[attr-defined]

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Gather the predictions of all processes and write them in the order of the dataset."""
        indices = [int(index) for batches in batch_indices for batch in batches for index in batch]
        rows = dict(zip(indices, torch.cat([batch.cpu() for batch in predictions]).tolist(), strict=True))
        if trainer.world_size > 1:
            parts: list[dict[int, Any]] = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(parts, rows)
            rows = {index: value for part in parts for index, value in part.items()}
        if trainer.is_global_zero:
            self._write(trainer, rows)

    def _write(self, trainer: Trainer, rows: dict[int, Any]) -> None:
        dataset = trainer.predict_dataloaders.dataset  # type: ignore[union-attr]
        labels = getattr(dataset, "labels", None)
        known = None if labels is None else labels.tolist()
        first = next(iter(rows.values()))
        width = len(first) if isinstance(first, list) else 1
        names = [""] if width == 1 else [f"_{dimension}" for dimension in range(width)]
        label_columns = [] if known is None else [f"label{name}" for name in names]
        order = sorted(rows)
        bounds = self._bounds.predict_interval(np.array([rows[index] for index in order])) if self._bounds else None
        table = (
            [
                dataset.ids[index],
                *([] if known is None else _as_list(known[index])),
                *_as_list(rows[index]),
                *([] if bounds is None else bounds[position].tolist()),
            ]
            for position, index in enumerate(order)
        )
        ends = [] if bounds is None else ["low", "high"]
        write_csv(self.path, ["id", *label_columns, *(f"prediction{name}" for name in names), *ends], table)


class MapWriter(BasePredictionWriter):
    """Write the predictions of dense labels: a NumPy file per sample, and ``index.csv`` that says which is which.

    A file holds one map of float32, shape (h, w), or (k, h, w) for several label dimensions. Files are written as their
    batch is done; the index comes last, when all are there.

    Args:
        folder: where they go; it must not exist.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder, and keep the trainer from holding all maps in memory."""
        trainer.predict_loop.return_predictions = False
        self.folder.mkdir(parents=True, exist_ok=True)

    def write_on_batch_end(  # noqa: PLR0917  Lightning's signature
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the maps of a batch."""
        assert batch_indices is not None  # noqa: S101  Lightning tells them to a writer of batches
        for index, one in zip(batch_indices, prediction.float().cpu().numpy(), strict=True):
            np.save(self.folder / _map_name(index), one[0] if len(one) == 1 else one)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the index once all processes are done."""
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            dataset = trainer.predict_dataloaders.dataset  # type: ignore[union-attr]
            files = ([name, _map_name(index)] for index, name in enumerate(dataset.ids))
            write_csv(self.folder / "index.csv", ["id", "file"], files)


def _map_name(index: int) -> str:
    return f"{index:06d}.npy"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
