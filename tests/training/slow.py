import time

from lightning import Callback, LightningModule, Trainer


class SlowEpochs(Callback):
    """Waits in each epoch, so that a test can kill the process in the middle of a run."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        time.sleep(0.5)
