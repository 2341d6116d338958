from pathlib import Path

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from conr.data import ArrayDataset, RegressionData, Splits
from conr.density import Bins
from conr.losses import SRLLoss, SupConLoss
from conr.training import RegressionModule, Regularizer


class Toy(RegressionData):
    name = "toy"
    label_name = "size"

    def load(self) -> Splits:
        labels = torch.arange(12.0) % 4
        dataset = ArrayDataset(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), labels)
        return Splits(train=dataset, val=dataset, test=dataset, bins=Bins(range(5)))


class Encoder(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 6)


class Recorder(SRLLoss):
    """Keeps the memory as it was after each epoch."""

    def __init__(self) -> None:
        super().__init__(6, low=0, high=4, bin_width=1, num_points=10)
        self.history: list[Tensor] = []

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.history.append(self.surrogate.clone())


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's use of torch
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_the_state_of_a_regularizer_moves_once_per_epoch_and_is_in_the_checkpoint(tmp_path: Path) -> None:
    recorder = Recorder()
    regularizers = {"srl": Regularizer(recorder), "supcon": Regularizer(SupConLoss(bin_width=1.0))}
    module = RegressionModule(Encoder(), regularizers=regularizers)
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=Toy(batch_size=4))
    first, second, third = recorder.history
    assert first.any(dim=1).all()
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["regularizer_losses.srl.surrogate"], third)
