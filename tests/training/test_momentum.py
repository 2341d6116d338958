"""The memory that a slowly changing encoder fills: what it holds, who follows whom, and what stays afterwards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from tests.training.toy import Toy, trainer
from torch import Tensor

from conr import ConRLoss
from conr.data import ArrayDataset
from conr.losses import CrossBatchMemory
from conr.models import MLP
from conr.training import MomentumMemory, RegressionModule, Regularizer


def module(view_mode: str = "two") -> RegressionModule:
    torch.manual_seed(0)
    memory = CrossBatchMemory(ConRLoss(window=0.5), size=500)
    encoder = MLP(3, hidden=(8, 6))
    return RegressionModule(encoder, regularizers={"conr": Regularizer(memory)}, view_mode=view_mode)


class Watch(Callback):
    """Keeps the weights after each step, and how the first parameter of the copy follows."""

    def __init__(self, momentum: MomentumMemory) -> None:
        self.momentum = momentum
        self.trained: list[Tensor] = []
        self.copied: list[Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *others: Any) -> None:
        del trainer, others
        assert self.momentum.network is not None
        self.trained.append(next(iter(pl_module.encoder.parameters())).detach().clone())  # type: ignore[union-attr]
        self.copied.append(next(iter(self.momentum.network["encoder"].parameters())).clone())


def test_the_copy_follows_the_trained_network(tmp_path: Path) -> None:
    model, momentum = module(), MomentumMemory(0.75)
    start = next(model.encoder.parameters()).detach().clone()
    watch = Watch(momentum)
    trainer(2, momentum, watch).fit(model, datamodule=Toy(batch_size=8))
    expected = start
    assert len(watch.trained) == 6
    for trained, copied in zip(watch.trained, watch.copied, strict=True):
        expected = 0.75 * expected + 0.25 * trained
        torch.testing.assert_close(copied, expected)
    assert not torch.equal(watch.copied[-1], watch.trained[-1])


@pytest.mark.parametrize(("view_mode", "rows"), [("one", 8), ("two", 16), ("original+two", 16)])
def test_the_memory_holds_what_the_copy_makes_of_the_same_rows(view_mode: str, rows: int, tmp_path: Path) -> None:
    """An encoder that stands still in its copy: all features in the memory are those of the first weights."""
    model, momentum = module(view_mode), MomentumMemory(1 - 1e-12)
    trainer(1, momentum).fit(model, datamodule=Toy(batch_size=8))
    (memory,) = model.regularizer_losses.values()
    assert isinstance(memory, CrossBatchMemory)
    assert len(memory.features) == 3 * rows
    data = Toy(batch_size=8)
    train = data.splits.train
    assert isinstance(train, ArrayDataset)
    inputs, labels = train.inputs, train.labels
    assert momentum.network is not None
    with torch.no_grad():
        known = momentum.network["encoder"](inputs)  # (24, d)
        distances = torch.cdist(memory.features, known, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.min(dim=1)
        predictions = momentum.network["head"](known[nearest.indices])
        assert not torch.allclose(model.encoder(inputs), known)
    assert nearest.values.max() < 1e-5
    torch.testing.assert_close(memory.labels.squeeze(1), labels[nearest.indices])
    torch.testing.assert_close(memory.predictions.squeeze(1), predictions)


def test_without_momentum_and_before_any_step_it_remembers_what_the_memory_alone_does(tmp_path: Path) -> None:
    found = []
    for callbacks in ((), (MomentumMemory(0),)):
        torch.manual_seed(0)
        model = module()
        trainer(1, *callbacks, limit_train_batches=1).fit(model, datamodule=Toy(batch_size=24))
        (memory,) = model.regularizer_losses.values()
        found.append(memory.features)
    torch.testing.assert_close(*found)


def test_nothing_is_left_in_the_module_and_the_copy_is_in_the_checkpoint(tmp_path: Path) -> None:
    model, momentum = module(), MomentumMemory(0.9)
    run = trainer(1, momentum)
    run.fit(model, datamodule=Toy(batch_size=8))
    (memory,) = model.regularizer_losses.values()
    assert isinstance(memory, CrossBatchMemory)
    assert memory.encode is None
    assert not model.encoder._forward_hooks
    run.save_checkpoint(tmp_path / "last.ckpt")
    assert momentum.network is not None
    before = {name: value.clone() for name, value in momentum.network.state_dict().items()}

    class Start(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *others: Any) -> None:
            del pl_module, others
            if trainer.global_step == 3:
                assert again.network is not None
                own = again.network.state_dict()
                assert all(torch.equal(own[name], value) for name, value in before.items())
                self.seen = True

    again, start = MomentumMemory(0.9), Start()
    trainer(2, again, start).fit(module(), datamodule=Toy(batch_size=8), ckpt_path=tmp_path / "last.ckpt")
    assert start.seen


def test_refuses_bad_arguments_and_modules_without_a_memory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"momentum: expected a number in \[0, 1\), got 1"):
        MomentumMemory(1)
    with pytest.raises(ValueError, match=r"momentum: expected a number in \[0, 1\), got -0\.5"):
        MomentumMemory(-0.5)
    plain = RegressionModule(MLP(3, hidden=(8, 6)), regularizers={"conr": Regularizer(ConRLoss(window=0.5))})
    with pytest.raises(ValueError, match="expected a RegressionModule with CrossBatchMemory among its regularizers"):
        trainer(1, MomentumMemory()).fit(plain, datamodule=Toy(batch_size=8))
