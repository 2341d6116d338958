"""Criteria, heads and regularizers that need more than a call per batch, in `RegressionModule`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import pytest
import torch
from lightning import Trainer
from tests.training.toy import Toy, trainer
from torch import Tensor, nn

from conr.data import ArrayDataset, RegressionData, RegressionDataset, Splits
from conr.density import Bins, DenseWeight, LabelDensity
from conr.losses import BMC, BNI, GAI, L1, UVOTE, Evidential, SRLLoss, SupConLoss
from conr.models import EvidentialHead, LinearHead, UVOTEHead
from conr.training import RegressionModule, Regularizer

BINS = Bins([0, 1, 2, 3, 4])  # of Toy


class Encoder(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 5)


def train(
    module: RegressionModule, epochs: int = 2, max_steps: int = -1, data: RegressionData | None = None
) -> Trainer:
    run = trainer(epochs, max_steps=max_steps)
    run.fit(module, datamodule=Toy(batch_size=8) if data is None else data)
    return run


class Recorder(L1):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        self.told.append((len(labels), bins))
        return self

    def set_progress(self, share: float) -> None:
        self.told.append(share)

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        self.told.append(tuple(predictions.shape))
        return super().forward(predictions, labels, weights)


def test_a_criterion_is_fitted_and_told_the_progress() -> None:
    criterion = Recorder()
    train(RegressionModule(Encoder(), criterion=criterion, view_mode="one"), epochs=4)
    epoch = [(8,)] * 3
    assert criterion.told == [(24, BINS), 0.25, *epoch, 0.5, *epoch, 0.75, *epoch, 1.0, *epoch]


def test_training_without_an_end_has_all_its_progress() -> None:
    criterion = Recorder()
    train(RegressionModule(Encoder(), criterion=criterion), epochs=-1, max_steps=4)
    assert [told for told in criterion.told if isinstance(told, float)] == [1.0, 1.0]


@pytest.mark.parametrize(
    "scheduler", ["cosine", "constant", lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)]
)
def test_parameters_of_a_criterion_have_a_rate_of_their_own(scheduler: Any) -> None:
    rates: list[list[float]] = []

    class Watched(RegressionModule):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            rates.append([group["lr"] for group in self.optimizers().param_groups])  # type: ignore[union-attr]

    criterion = BMC(noise_scale=2.0)

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=0.5, weight_decay=0.1)

    module = Watched(Encoder(), criterion=criterion, criterion_lr=0.02, optimizer=optimizer, scheduler=scheduler)
    run = train(module, epochs=3)
    assert {rate for _, rate in rates} == {0.02}
    assert len({rate for rate, _ in rates}) == {"cosine": 9, "constant": 1}.get(str(scheduler), 3)
    assert rates[0][0] == 0.5
    others, own = run.optimizers[0].param_groups
    assert own["params"] == list(criterion.parameters())
    assert (own["weight_decay"], others["weight_decay"]) == (0.0, 0.1)
    assert len(others["params"]) == 4  # weight and bias of encoder and head
    assert criterion.noise_scale().item() != pytest.approx(2.0)


def test_without_parameters_the_optimizer_gets_one_group() -> None:
    module = RegressionModule(Encoder(), criterion=L1())
    assert len(train(module, epochs=1).optimizers[0].param_groups) == 1


class SeesPoints(nn.Module):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor) -> Tensor:
        assert predictions.shape == labels.shape == weights.shape
        return features.sum() * 0


@pytest.mark.parametrize(
    ("head", "criterion", "outputs"), [(EvidentialHead, Evidential(), (4,)), (UVOTEHead, UVOTE(clip=(1, 9)), (2, 2))]
)
def test_all_but_the_criterion_see_points(
    head: Callable[[int], nn.Module], criterion: nn.Module, outputs: tuple[int, ...]
) -> None:
    regularizers = {"sees": Regularizer(SeesPoints(), density=LabelDensity(scheme="inverse"))}
    module = RegressionModule(Encoder(), head=head, criterion=criterion, regularizers=regularizers, collapse_window=0.5)
    run = train(module)
    inputs = torch.randn(6, 3)
    assert module.head(module.encoder(inputs)).shape == (6, *outputs)
    assert module(inputs).shape == (6,)
    (tested,) = run.test(module, datamodule=Toy(batch_size=8), verbose=False)
    assert 0 < tested["test/mae"] < 100
    predicted = run.predict(module, datamodule=Toy(batch_size=8))
    assert predicted is not None
    assert [tuple(cast("Tensor", batch).shape) for batch in predicted] == [(8,), (4,)]
    with torch.inference_mode():
        step = module.test_step((inputs, torch.zeros(6)), 0)
        assert torch.equal(step["predictions"], module(inputs))


def test_heads_are_sized_by_the_encoder() -> None:
    encoder = Encoder()
    assert isinstance(RegressionModule(encoder).head, LinearHead)
    own = EvidentialHead(5, 2)
    assert RegressionModule(encoder, head=own).head is own
    made = RegressionModule(encoder, head=lambda size: UVOTEHead(size, heads=4)).head
    assert isinstance(made, UVOTEHead)
    assert made.linear.in_features == 5
    with pytest.raises(TypeError, match="expected an integer attribute out_features to size the head, got None"):
        RegressionModule(nn.Identity(), head=EvidentialHead)
    with pytest.raises(ValueError, match="criterion_lr: expected a number of at least 0, got -1"):
        RegressionModule(encoder, criterion_lr=-1)


class Plane(Toy):
    """Labels of two dimensions."""

    def load(self) -> Splits:
        def twice(split: RegressionDataset) -> ArrayDataset:
            assert isinstance(split, ArrayDataset)
            return ArrayDataset(split.inputs, torch.stack((split.labels, 4 - split.labels), dim=1), split.ids)

        splits = super().load()
        bins = Bins([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
        return Splits(twice(splits.train), twice(splits.val), twice(splits.test), bins)


@pytest.mark.parametrize("standardise_labels", [False, True])
@pytest.mark.parametrize(
    ("head", "criterion"),
    [(EvidentialHead, Evidential()), (UVOTEHead, UVOTE()), (None, GAI(noise_scale=1.0)), (None, BNI(noise_scale=1.0))],
)
def test_several_label_dimensions(head: Any, criterion: nn.Module, standardise_labels: bool) -> None:
    module = RegressionModule(
        Encoder(),
        head=head,
        criterion=criterion,
        criterion_density=DenseWeight(alpha=0.5),
        standardise_labels=standardise_labels,
    )
    run = train(module, data=Plane(batch_size=8))
    assert module(torch.randn(6, 3)).shape == (6, 2)
    assert torch.isfinite(run.callback_metrics["train/loss"])


def test_dense_weight_stands_where_a_label_density_does() -> None:
    used: list[Tensor] = []

    class Keeps(L1):
        def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
            assert weights is not None
            used.append(weights)
            return super().forward(predictions, labels, weights)

    class AlsoKeeps(SeesPoints):
        def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor) -> Tensor:
            used.append(weights)
            return super().forward(features, labels, predictions, weights)

    densities = (DenseWeight(), DenseWeight(alpha=0.5))
    regularizers = {"sees": Regularizer(AlsoKeeps(), density=densities[1])}
    module = RegressionModule(
        Encoder(), criterion=Keeps(), criterion_density=densities[0], regularizers=regularizers, view_mode="one"
    )
    train(module, epochs=1)
    for start, density in enumerate(densities):
        assert torch.cat(used[start::2]).mean() == pytest.approx(1, rel=1e-5)  # over all training samples
        assert density.weights(torch.tensor([3.9])) > density.weights(torch.tensor([0.1]))


class Remembers(SRLLoss):
    """Keeps the memory as it was after each epoch."""

    def __init__(self) -> None:
        super().__init__(5, low=0, high=4, bin_width=1, num_points=10)
        self.history: list[Tensor] = []

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.history.append(self.surrogate.clone())


def test_the_state_of_a_regularizer_moves_once_per_epoch_and_is_in_the_checkpoint(tmp_path: Path) -> None:
    recorder = Remembers()
    regularizers = {"srl": Regularizer(recorder), "supcon": Regularizer(SupConLoss(bin_width=1.0))}
    module = RegressionModule(Encoder(), regularizers=regularizers)
    run = trainer(3)
    run.fit(module, datamodule=Toy(batch_size=12))
    first, second, third = recorder.history
    assert first.any(dim=1).sum() >= 3
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    run.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["regularizer_losses.srl.surrogate"], third)
