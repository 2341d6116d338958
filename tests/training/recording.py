import json
from collections import Counter
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Records(Callback):
    """Writes which labels each process has seen in an epoch, and how often."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.seen: Counter[float] = Counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.seen.update(batch[1].tolist())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = self.folder / f"{trainer.current_epoch}-{trainer.global_rank}.json"
        path.write_text(json.dumps(self.seen))
        self.seen.clear()
