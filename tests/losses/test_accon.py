import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.contracts.batches import make_batch
from tests.contracts.registry import REGULARIZERS

from conr.losses import ACConLoss, accon_loss
from conr.testing.regularizers import equals_its_oracle

# Cosines: 0-1 0.8, 0-2 0, 0-3 0.6, 1-2 0.6, 1-3 0.96, 2-3 0.8.
FEATURES = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)


def test_four_samples_by_hand() -> None:
    """Labels 10 10 40 70 in a range of 60: 30 apart turns by pi / 2, which makes cos t of it -sin t; 60 not at all.

    Samples 2 and 3 have no positives.
    """
    labels = torch.tensor([10.0, 10.0, 40.0, 70.0], dtype=torch.float64)
    weights = torch.tensor([0.5, 2.0, 1.0, 1.0], dtype=torch.float64)

    def term(weight: float, positive: float, *negatives: float) -> float:
        total = sum(math.exp(logit / 0.5) for logit in (positive, *negatives))
        return weight * (math.log(total) - positive / 0.5)

    expected = [term(0.5, 0.8, -1.0, 0.6), term(2.0, 0.8, -0.8, 0.96), 0.0, 0.0]
    given: dict[str, Any] = {"label_range": 60.0, "temperature": 0.5, "weights": weights}
    terms = accon_loss(FEATURES, labels, reduction="none", **given)
    torch.testing.assert_close(terms, torch.tensor(expected, dtype=torch.float64))
    assert accon_loss(FEATURES, labels, **given).item() == pytest.approx(sum(expected) / 4)


@pytest.mark.parametrize("apart", [0.25, 0.5, 0.9, 1.0])
def test_a_negative_rests_at_the_angle_of_its_label_distance(apart: float) -> None:
    """Sample 2 turns away from the pair 0, 1 until its angle is pi times the share of the range."""
    angles = torch.linspace(0.01, math.pi, 400, dtype=torch.float64)
    losses = []
    for angle in angles.tolist():
        features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        losses.append(accon_loss(features, torch.tensor([0.0, 0.0, 30.0 * apart]), label_range=30.0, temperature=1.0))
    assert angles[torch.stack(losses).argmin()].item() == pytest.approx(math.pi * apart, abs=0.01)


def test_labels_further_apart_than_the_range_count_as_the_range() -> None:
    at, beyond = torch.tensor([0.0, 0.0, 30.0, 30.0]), torch.tensor([0.0, 0.0, 45.0, 45.0])
    assert torch.equal(accon_loss(FEATURES, at, label_range=30.0), accon_loss(FEATURES, beyond, label_range=30.0))


def test_a_window_makes_positives_of_near_labels() -> None:
    labels = torch.tensor([1.0, 1.5, 4.0, 4.5])
    assert not accon_loss(FEATURES, labels, label_range=4.0, reduction="none").any()
    assert accon_loss(FEATURES, labels, label_range=4.0, window=0.5, reduction="none").all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_straight_angles_have_a_finite_gradient(sign: float, dtype: torch.dtype) -> None:
    """Where rounding leaves the square of a sine, its root would have a slope of up to 1e8."""
    first = torch.randn(1, 64, generator=torch.Generator().manual_seed(0), dtype=dtype)
    features = torch.cat((first, first, sign * 3 * first, sign * first)).requires_grad_()
    loss = accon_loss(features, torch.tensor([0.0, 0.0, 2.0, 2.0]), label_range=4.0, temperature=1.0)
    (slope,) = torch.autograd.grad(loss, features)
    assert slope.abs().max() < 1


def test_exponentials_do_not_overflow() -> None:
    batch = make_batch(2)
    loss = accon_loss(batch.features.float(), batch.labels, label_range=6.0, temperature=1e-4)
    assert torch.isfinite(loss)


def test_other_settings_than_the_contract_s_equal_the_oracle() -> None:
    case = REGULARIZERS["accon"]
    equals_its_oracle(replace(case, settings={**case.settings, "window": 1.0, "label_range": 3.0, "distance": "linf"}))


GOOD: dict[str, Any] = {"features": torch.zeros(4, 3), "labels": torch.zeros(4), "label_range": 60.0}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": torch.zeros(4)}, ValueError, r"features: expected shape \(n, d\), got \(4,\)"),
        ({"labels": torch.zeros(5)}, ValueError, "labels: expected 4 samples like features, got 5"),
        ({"weights": torch.ones(3)}, ValueError, r"weights: expected shape \(4,\), got \(3,\)"),
        ({"label_range": 0.0}, ValueError, "label_range: expected a number above 0, got 0.0"),
        ({"window": -1.0}, ValueError, "window: expected a number of at least 0, got -1.0"),
        ({"temperature": 0.0}, ValueError, "temperature: expected a number above 0, got 0.0"),
        ({"label_range": "60"}, TypeError, "label_range: expected a number, got str"),
        ({"distance": "l3"}, ValueError, "distance: expected one of 'l1', 'l2', 'linf', 'angular', got 'l3'"),
        ({"reduction": "avg"}, ValueError, "reduction: expected one of 'mean', 'sum', 'none', got 'avg'"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        accon_loss(**GOOD | change)


@pytest.mark.parametrize(
    "change", [{"label_range": -1.0}, {"window": -1.0}, {"temperature": 0.0}, {"distance": "no"}, {"reduction": "no"}]
)
def test_the_module_checks_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ACConLoss(**{"label_range": 60.0} | change)


def test_the_module_prints_its_hyperparameters() -> None:
    assert "label_range=60.0, window=0.0, temperature=0.05" in repr(ACConLoss(label_range=60.0))
