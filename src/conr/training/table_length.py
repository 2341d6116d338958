"""Length of a training on a table by Lightning, as the estimator has it."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from conr.methods.lengths import default_epochs, default_patience


class TableLength(EarlyStopping):
    """Choose the epochs by the number of training rows, and end early when the validation error no longer falls.

    A trainer whose ``max_epochs`` is -1 gets those of `conr.methods.lengths.default_epochs`; another keeps its own. The
    training ends after a third of them, or ten, without a lower error. A stage without criterion trains no head whose
    error could tell, and runs to its end.

    Args:
        monitor: the validation error.
    """

    def __init__(self, monitor: str = "val/mae") -> None:
        super().__init__(monitor=monitor, mode="min", check_finite=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the trainer's epochs and this callback's patience; called by the trainer."""
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it
        if trainer.max_epochs in (None, -1):
            trainer.fit_loop.max_epochs = default_epochs(len(data.splits.train), data.batch_size)
        epochs = trainer.max_epochs or 1
        has_head = getattr(pl_module, "criterion_coefficient", 1.0) > 0
        self.patience = default_patience(epochs) if has_head else epochs
