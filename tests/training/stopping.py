from typing import Any

from lightning import Callback, LightningModule, Trainer


class StopsIn(Callback):
    """Breaks the run off in an epoch; with half a number, when training ends after the epoch before."""

    def __init__(self, epoch: float) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise RuntimeError("stopped")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch + 0.5:
            raise RuntimeError("stopped")
