import math
from typing import Any

import pytest
import torch
from tests.oracles.hca import class_weights_of_bins, division
from tests.training.toy import Toy, trainer

from conr.density import Bins
from conr.losses import HCA, hca_log_probabilities, hca_loss, label_hierarchy
from conr.models import MLP, HCAHead
from conr.training import RegressionModule

BINS = Bins([0, 1, 2, 3])
LABELS = torch.tensor([0.0] * 9 + [1.0, 2.0])


def test_four_samples_by_hand() -> None:
    """One bin of nine samples against two of one each, then each bin for itself; inverse counts of mean 1."""
    criterion = HCA(levels=1, reduction="none").fit(LABELS, BINS)
    predictions = torch.tensor([[1.0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 2, 0, 0, 1], [0, 0, 0, 0, 0]])
    coarse, fine = (11 / 2 / 9, 11 / 2 / 2), (11 / 3 / 9, 11 / 3)  # of the common class, and of the rare ones
    e = math.e
    expected = [
        coarse[0] * math.log(1 + 1 / e) + fine[0] * math.log(3),
        coarse[1] * math.log(2) + fine[1] * math.log(e + 2),
        0.5 * (coarse[1] * math.log(1 + e**-2) + fine[1] * math.log(1 + 2 / e)),
        2 * (coarse[0] * math.log(2) + fine[0] * math.log(3)),
    ]
    weights = torch.tensor([1.0, 1.0, 0.5, 2.0])
    losses = criterion(predictions, torch.tensor([0.3, 1.0, 2.5, -4.0]), weights)  # a label outside is in the first bin
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)


def test_intervals_are_divided_at_half_of_the_square_roots() -> None:
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 7, 40):
        counts = torch.randint(0, 50, (size,), generator=generator)
        hierarchy = label_hierarchy(counts, levels=5)
        for row, intervals in zip(hierarchy.tolist(), division(counts.tolist(), 5), strict=True):
            assert row == [number for number, (low, high) in enumerate(intervals) for _ in range(low, high)]
    assert label_hierarchy(torch.zeros(4), levels=1).tolist() == [[0, 1, 1, 1], [0, 1, 2, 3]]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_classes_weigh_one_on_average(power: float) -> None:
    criterion = HCA(levels=2, power=power).fit(LABELS, Bins([0, 1, 2, 3, 4]))
    expected = class_weights_of_bins([9, 1, 1, 0], 2, power)
    torch.testing.assert_close(criterion.class_weights, torch.tensor(expected))


def test_equal_training_labels_leave_the_loss_finite() -> None:
    for labels in (LABELS[:1], LABELS[:5]):
        criterion, head = HCA(levels=3).fit(labels, BINS), HCAHead(2, levels=3).fit(labels, BINS)
        features = torch.randn(4, 2, requires_grad=True)
        loss = criterion(head(features), torch.tensor([0.0, 1.0, 2.0, 3.0]))
        loss.backward()
        assert torch.isfinite(loss)
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()


def test_coarse_classes_adjust_the_finest() -> None:
    """The finest level prefers bin 1 a little; the coarse one is sure of bin 0."""
    hierarchy = label_hierarchy(torch.tensor([9, 1, 1]), levels=1)
    outputs = torch.tensor([[4.0, 0.0, 1.0, 1.5, 0.0], [0.0, 0.0, 1.0, 1.5, 0.0]])
    adjusted = hca_log_probabilities(outputs, hierarchy, sizes=[2, 3]).exp()
    torch.testing.assert_close(adjusted.sum(dim=1), torch.ones(2))
    assert adjusted.argmax(dim=1).tolist() == [0, 1]
    torch.testing.assert_close(adjusted[0, 0] / adjusted[0, 1], torch.tensor(math.exp(4 - 0.5)))


def test_the_value_of_a_bin_is_the_mean_of_its_labels() -> None:
    labels = torch.tensor([0.0, 0.5, 2.25, 2.25])
    head = HCAHead(2, levels=2).fit(labels, BINS)
    assert head.values.tolist() == [0.25, 1.25, 2.25]  # labels lie a quarter into their bins
    outputs = torch.zeros(2, sum(head.sizes), requires_grad=True)
    outputs.data[0, -1], outputs.data[1, 0] = 9.0, torch.nan
    predictions = head.point(outputs)
    assert predictions[0] == 2.25
    assert predictions[1].isnan()
    assert not predictions.requires_grad


def test_whole_labels_are_predicted_as_whole_numbers() -> None:
    head = HCAHead(2).fit(LABELS, Bins([0, 1, 2, 3, 4, 5]))
    assert head.values.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("standardise_labels", [False, True])
def test_it_trains_on_a_dataset_in_any_units(standardise_labels: bool) -> None:
    module = RegressionModule(
        MLP(hidden=(32,)),
        head=lambda size: HCAHead(size, levels=2),
        criterion=HCA(levels=2),
        standardise_labels=standardise_labels,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.03),
    )
    run = trainer(15)
    run.fit(module, datamodule=Toy(batch_size=12))
    assert run.callback_metrics["val/mae"] < 0.5
    predictions = module.eval()(torch.tensor([[0.1, -0.2, 0.0], [2.9, 3.0, 3.2]]))
    torch.testing.assert_close(predictions, predictions.round(), rtol=0, atol=1e-5)


GOOD: dict[str, Any] = {
    "predictions": torch.zeros(4, 5),
    "labels": torch.zeros(4),
    "bins": BINS,
    "hierarchy": label_hierarchy(torch.tensor([9, 1, 1]), levels=1),
    "class_weights": torch.ones(2, 3),
    "sizes": [2, 3],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictions": torch.zeros(4, 4)}, r"predictions and labels: expected shapes \(n, 5\) and \(n,\), or"),
        ({"predictions": torch.zeros(4, 2, 5), "labels": torch.zeros(4, 2)}, "labels: expected one dimension, as HCA"),
        ({"reduction": "max"}, "reduction: expected one of 'mean', 'sum', 'none', got 'max'"),
        ({"class_weights": torch.ones(2, 3, device="meta")}, "class_weights: expected device cpu like the other"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hca_loss(**GOOD | change)


def test_bad_settings_are_answered_with_what_was_expected() -> None:
    grid = Bins([[0, 1], [0, 1]])
    for make in (HCA, HCAHead):
        first = () if make is HCA else (2,)
        with pytest.raises(ValueError, match="levels: expected a number of at least 1, got 0"):
            make(*first, levels=0)
        with pytest.raises(ValueError, match="expected one dimension, as HCA divides its range, got bins over 2"):
            make(*first).fit(torch.zeros(3, 2), grid)
    with pytest.raises(ValueError, match=r"counts: expected shape \(bins,\) with at least one bin, got \(0,\)"):
        label_hierarchy(torch.zeros(0), levels=1)
    head = HCAHead(2)
    for call in (lambda: head(torch.zeros(1, 2)), lambda: head.point(torch.zeros(1, 2))):
        with pytest.raises(RuntimeError, match="this HCAHead has not seen training labels: call fit"):
            call()
    with pytest.raises(ValueError, match=r"features: expected shape \(n, 2\), got \(1, 3\)"):
        head(torch.zeros(1, 3))
    assert "in_features=2, levels=6" in repr(head)
