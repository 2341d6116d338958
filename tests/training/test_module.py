from typing import Any

import pytest
import torch
from lightning import LightningDataModule
from tests.data.held import held_inputs
from tests.training.toy import Toy, trainer
from torch import Tensor, nn

from conr import ConRLoss, LabelDensity, conr_loss
from conr.data import TableViews
from conr.losses import MSE
from conr.models import MLP
from conr.training import RegressionModule, Regularizer


class Constant(nn.Module):
    """A regularizer that keeps what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, ...]] = []

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None) -> Tensor:
        given = torch.empty(0) if weights is None else weights
        self.calls.append((features.detach(), labels, predictions.detach(), given))
        return features.sum() * 0 + 2.0


def make(**settings: Any) -> RegressionModule:
    torch.manual_seed(0)
    return RegressionModule(MLP(3, hidden=(8,)), **settings)


def fit(module: RegressionModule, epochs: int = 1) -> dict[str, float]:
    run = trainer(epochs)
    run.fit(module, datamodule=Toy(batch_size=12))
    return {name: float(value) for name, value in run.callback_metrics.items()}


def test_total_loss_is_criterion_plus_coefficients_times_regularizers() -> None:
    first, second = Constant(), Constant()
    module = make(regularizers={"a": Regularizer(first, coefficient=3.0), "b": Regularizer(second, coefficient=0.5)})
    logged = fit(module)
    assert logged["train/a"] == logged["train/b"] == 2
    assert logged["train/loss"] == pytest.approx(logged["train/criterion"] + 3 * 2 + 0.5 * 2)


def test_conr_in_the_module_is_conr_by_hand() -> None:
    data = Toy(batch_size=12)
    density = LabelDensity(scheme="sqrt_inverse")
    term = Regularizer(ConRLoss(window=1.0), coefficient=4.0, density=density)
    module = make(regularizers={"conr": term}, view_mode="one")
    run = trainer(limit_train_batches=1, limit_val_batches=0)
    run.fit(module, datamodule=data)
    train = data.splits.train
    inputs, labels = held_inputs(train)[:12], train.labels[:12]
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # there is no loop to log to
    loss = module.training_step((inputs, labels), 0)
    features = module.encoder(inputs)
    predictions = module.head(features)
    weights = LabelDensity(data.splits.bins, scheme="sqrt_inverse").fit(data.splits.train.labels).weights(labels)
    expected = (predictions - labels).abs().mean()
    expected = expected + 4 * conr_loss(features, labels, predictions, window=1.0, weights=weights)
    torch.testing.assert_close(loss, expected)


def test_criterion_weights_come_from_the_training_labels() -> None:
    data = Toy(batch_size=24)
    module = make(criterion=MSE(), criterion_density=LabelDensity(scheme="inverse"), view_mode="one")
    fit(module)
    assert module.criterion_density is not None
    weights = module.criterion_density.weights(data.splits.train.labels)
    assert weights.mean().item() == pytest.approx(1)
    assert weights.max() > weights.min()


@pytest.mark.parametrize(("mode", "rows"), [("one", 12), ("two", 24), ("original+two", 24)])
def test_regularizers_see_the_views_of_their_mode(mode: str, rows: int) -> None:
    seen = Constant()
    fit(make(regularizers={"a": Regularizer(seen)}, views=TableViews(), view_mode=mode))
    features, labels, predictions, weights = seen.calls[0]
    assert features.shape == (rows, 8)
    assert labels.shape == predictions.shape == (rows,)
    assert weights.numel() == 0


def test_smoothing_stands_between_features_and_head_in_training_only() -> None:
    class Double(nn.Module):
        def forward(self, features: Tensor, labels: Tensor) -> Tensor:
            assert len(features) == len(labels)
            return 2 * features

    seen = Constant()
    module = make(smoothing=Double(), regularizers={"a": Regularizer(seen)}, view_mode="one")
    fit(module)
    features, _, predictions, _ = seen.calls[-1]
    assert features.shape[1] == 8
    assert predictions.shape == (12,)
    inputs = torch.randn(5, 3)
    torch.testing.assert_close(module(inputs), module.head(module.encoder(inputs)))


def test_metrics_are_logged_for_all_and_per_region() -> None:
    logged = fit(make(collapse_window=0.5))
    for name in ("val/mae", "val/mae_many", "val/mae_median", "val/mae_few", "val/gm", "val/count_few"):
        assert name in logged
    assert logged["val/count"] == 12
    assert 0 <= logged["train/collapse"] <= 1
    assert "train/collapse_few" in logged


def test_training_lowers_the_error() -> None:
    logged = fit(make(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.03)), epochs=15)
    assert logged["val/mae"] < 0.5


def every_epoch_a_tenth(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1)


@pytest.mark.parametrize("scheduler", ["cosine", "constant", every_epoch_a_tenth])
def test_learning_rate_follows_the_schedule(scheduler: Any) -> None:
    module = make(scheduler=scheduler, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    run = trainer(2)
    run.fit(module, datamodule=Toy(batch_size=12))
    rate = run.optimizers[0].param_groups[0]["lr"]
    expected = {"cosine": 0.0, "constant": 0.1}.get(scheduler, 0.001) if isinstance(scheduler, str) else 0.1 * 0.1**2
    assert rate == pytest.approx(expected)


def test_predict_takes_batches_with_and_without_labels() -> None:
    module = make()
    inputs = torch.randn(4, 3)
    assert torch.equal(module.predict_step((inputs, torch.zeros(4)), 0), module.predict_step(inputs, 0))


def test_a_head_for_several_label_dimensions() -> None:
    from conr.models import LinearHead  # noqa: PLC0415

    assert make(head=LinearHead(8, 2))(torch.randn(4, 3)).shape == (4, 2)


def test_bad_settings_are_answered() -> None:
    with pytest.raises(
        ValueError, match="view_mode: expected one of 'two', 'original\\+two', 'three', 'one', got 'four'"
    ):
        make(view_mode="four")
    with pytest.raises(
        ValueError, match=r"scheduler: expected one of 'constant', 'cosine', got 'cosin'; did you mean 'cosine'"
    ):
        make(scheduler="cosin")
    with pytest.raises(ValueError, match="collapse_window: expected a number above 0"):
        make(collapse_window=0.0)
    with pytest.raises(TypeError, match=r"encoder: expected an integer attribute out_features .* got None from ReLU"):
        RegressionModule(nn.ReLU())


def test_other_datamodules_are_refused() -> None:
    class Other(LightningDataModule):
        def train_dataloader(self) -> list[Any]:
            return [(torch.zeros(2, 3), torch.zeros(2))]

        def val_dataloader(self) -> list[Any]:
            return []

    with pytest.raises(TypeError, match=r"datamodule: expected one that is a conr\.data\.RegressionData, got Other"):
        trainer().fit(make(), datamodule=Other())
