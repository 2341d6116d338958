"""What the module takes from the dataset: sizes of layers, and the scale of labels."""

import pytest
import torch
from tests.data.held import held_inputs
from tests.training.test_module import Constant, make
from tests.training.toy import Toy, trainer
from torch import Tensor, nn

from conr.data import ArrayDataset, RegressionData, Splits
from conr.density import Bins
from conr.losses import MSE
from conr.models import MLP, LinearHead
from conr.training import RegressionModule, Regularizer


class Grams(Toy):
    """The toy with labels of another scale: a thousand times as large, and far from zero."""

    name = "grams"

    def load(self) -> Splits:
        splits = super().load()
        parts = {}
        for split in ("train", "val", "test"):
            given = getattr(splits, split)
            assert isinstance(given, ArrayDataset)
            parts[split] = ArrayDataset(given.inputs, 1000 * given.labels + 5000, given.ids)
        return Splits(**parts, bins=Bins([5000, 6000, 7000, 8000, 9000]))


class Plane(RegressionData):
    """Labels of two dimensions and unlike scales."""

    name = "plane"
    label_name = "place"

    def load(self) -> Splits:
        inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        labels = torch.stack((inputs[:, 0].clamp(-2, 2), 1000 * inputs[:, 1].clamp(-2, 2) + 500), dim=1)
        part = ArrayDataset(inputs, labels)
        return Splits(part, part, part, Bins([[-3, 0, 3], [-3000, 0, 3000]]))


class CountingNorm(nn.Module):
    """An encoder with lazy layers, of which one keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(6), nn.LazyBatchNorm1d())
        self.frozen = nn.Dropout().eval()
        self.out_features = 6

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.layers(inputs)
        return features


def test_lazy_layers_take_their_size_from_the_dataset_before_the_optimizer_exists() -> None:
    module = RegressionModule(MLP(hidden=(8,)))
    before = MLP(3, hidden=(8,))
    trainer(2).fit(module, datamodule=Toy(batch_size=12))
    assert isinstance(module.encoder, MLP)
    assert module.encoder.in_features == 3
    assert {name: value.shape for name, value in module.encoder.state_dict().items()} == {
        name: value.shape for name, value in before.state_dict().items()
    }


def test_sizing_leaves_modes_and_running_statistics_alone() -> None:
    encoder = CountingNorm()
    module = RegressionModule(encoder)
    trainer(limit_train_batches=0, limit_val_batches=0).fit(module, datamodule=Toy())
    norm = encoder.layers[1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(6))  # type: ignore[arg-type]
    assert norm.training
    assert not encoder.frozen.training


def test_the_default_head_has_an_output_per_label_dimension() -> None:
    module = RegressionModule(MLP(3))
    run = trainer()
    run.fit(module, datamodule=Plane())
    assert module(torch.zeros(5, 3)).shape == (5, 2)
    head = LinearHead(128, 2)
    given = RegressionModule(MLP(3), head=head)
    trainer().fit(given, datamodule=Plane())
    assert given.head is head


def test_terms_see_standardised_labels_and_results_are_in_label_units() -> None:
    seen, grams = Constant(), Grams(batch_size=24)
    module = make(regularizers={"seen": Regularizer(seen)}, criterion=MSE(), view_mode="one", standardise_labels=True)
    run = trainer(3)
    run.fit(module, datamodule=grams)
    labels = grams.splits.train.labels
    (_, targets, predictions, _) = seen.calls[-1]
    assert targets.mean().item() == pytest.approx(0, abs=1e-5)
    assert targets.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert predictions.abs().max() < 10
    assert run.callback_metrics["train/criterion"] < 10
    assert 5000 < module(torch.zeros(4, 3)).mean() < 9000
    assert torch.equal(module.label_mean, labels.double().mean().float().reshape(1))
    (measured,) = run.test(module, datamodule=grams, verbose=False)
    test = grams.splits.test
    by_hand = (module.eval()(held_inputs(test)) - test.labels).abs()
    assert measured["test/mae"] == pytest.approx(by_hand.mean().item(), rel=1e-5)


def test_training_does_not_depend_on_the_unit_of_the_label() -> None:
    results = []
    for data in (Toy(batch_size=12), Grams(batch_size=12)):
        module = make(standardise_labels=True)
        torch.manual_seed(1)
        run = trainer(2)
        run.fit(module, datamodule=data)
        results.append(float(run.callback_metrics["val/mae"]))
    assert results[1] == pytest.approx(1000 * results[0], rel=1e-3)


def test_each_label_dimension_has_its_own_scale() -> None:
    seen = Constant()
    module = RegressionModule(MLP(), regularizers={"seen": Regularizer(seen)}, view_mode="one", standardise_labels=True)
    trainer().fit(module, datamodule=Plane())
    targets = torch.cat([call[1] for call in seen.calls])
    torch.testing.assert_close(targets.mean(dim=0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(targets.std(dim=0, correction=0), torch.ones(2), atol=1e-4, rtol=0)


def test_weights_and_smoothing_see_labels_as_they_are() -> None:
    class Smoothing(nn.Module):
        def forward(self, features: Tensor, labels: Tensor) -> Tensor:
            assert labels.min() >= 5000
            return features

    module = make(smoothing=Smoothing(), standardise_labels=True, collapse_window=500.0)
    run = trainer()
    run.fit(module, datamodule=Grams())
    assert run.callback_metrics["train/anchors"] >= 0


def test_a_checkpoint_brings_its_scale() -> None:
    module = make(standardise_labels=True)
    trainer().fit(module, datamodule=Grams())
    other = make(standardise_labels=True)
    other.load_state_dict(module.state_dict())
    rows = torch.zeros(2, 3)
    assert torch.equal(other(rows), module.eval()(rows))
    assert "label_mean" not in make().state_dict()


def test_dense_labels_have_no_scale() -> None:
    class Dense(Plane):
        def load(self) -> Splits:
            part = ArrayDataset(torch.zeros(4, 3), torch.zeros(4, 2, 2))
            return Splits(part, part, part, Bins([-1, 1]))

    with pytest.raises(ValueError, match=r"standardised labels: expected shape \(n,\) or \(n, k\), got"):
        trainer().fit(make(standardise_labels=True), datamodule=Dense())
