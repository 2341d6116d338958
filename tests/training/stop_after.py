"""Ends a run as if it had been killed between two epochs: by an error that leaves only the checkpoint."""

from lightning import Callback, LightningModule, Trainer


class StoppedError(RuntimeError):
    """The run was ended."""


class StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epochs:
            raise StoppedError
