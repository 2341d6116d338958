from pathlib import Path

import torch
from lightning import Trainer
from tests.training.toy import Toy
from torch import Tensor

from conr.losses import SRLLoss, SupConLoss
from conr.models import MLP
from conr.training import RegressionModule, Regularizer


class Recorder(SRLLoss):
    """Keeps the memory as it was after each epoch."""

    def __init__(self) -> None:
        super().__init__(6, low=0, high=4, bin_width=1, num_points=10)
        self.history: list[Tensor] = []

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.history.append(self.surrogate.clone())


def test_the_state_of_a_regularizer_moves_once_per_epoch_and_is_in_the_checkpoint(tmp_path: Path) -> None:
    recorder = Recorder()
    regularizers = {"srl": Regularizer(recorder), "supcon": Regularizer(SupConLoss(bin_width=1.0))}
    module = RegressionModule(MLP(3, hidden=(8, 6)), regularizers=regularizers)
    without = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(max_epochs=3, accelerator="cpu", default_root_dir=tmp_path, **without)  # type: ignore[arg-type]
    trainer.fit(module, datamodule=Toy(batch_size=12))
    first, second, third = recorder.history
    assert first.any(dim=1).sum() >= 3
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["regularizer_losses.srl.surrogate"], third)
