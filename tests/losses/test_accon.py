import math
from typing import Any

import pytest
import torch
from tests.contracts.batches import make_batch

from conr.losses import accon_loss

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
