import math

import pytest
import torch
from tests.contracts.batches import make_batch
from tests.oracles.rank_n_contrast import rank_n_contrast_per_anchor
from tests.tolerances import TOLERANCE

from conr.losses import rank_n_contrast_loss


def test_four_samples_by_hand() -> None:
    """Labels 1 2 2 5: anchor 0 has the tie 1, 2; anchor 1 counts its twin 2 for nothing but itself."""
    features = torch.tensor([[0.0], [1.0], [3.0], [7.0]], dtype=torch.float64)  # distances are differences
    labels = torch.tensor([1.0, 2.0, 2.0, 5.0], dtype=torch.float64)

    def pair(own: float, *farther: float) -> float:
        return own / 2 + math.log(sum(math.exp(-distance / 2) for distance in (own, *farther)))

    expected = [
        (pair(1, 3, 7) + pair(3, 1, 7) + pair(7)) / 3,  # labels 1, 1 and 4 away
        (pair(1, 6) + pair(2, 1, 6) + pair(6)) / 3,  # 1, 0 and 3 away
        (pair(3, 4) + pair(2, 3, 4) + pair(4)) / 3,  # 1, 0 and 3 away
        (pair(7) + pair(6, 7, 4) + pair(4, 7, 6)) / 3,  # 4, 3 and 3 away
    ]
    terms = rank_n_contrast_loss(features, labels, reduction="none")
    torch.testing.assert_close(terms, torch.tensor(expected, dtype=torch.float64))
    assert rank_n_contrast_loss(features, labels).item() == pytest.approx(sum(expected) / 4)


def test_a_large_batch_with_many_ties_equals_the_loop() -> None:
    batch = make_batch(7, n=48, d=16, k=2)
    expected = rank_n_contrast_per_anchor(*(tensor.tolist() for tensor in batch), temperature=2.0, distance="l1")
    terms = rank_n_contrast_loss(batch.features, batch.labels, weights=batch.weights, reduction="none")
    torch.testing.assert_close(terms, torch.tensor(expected, dtype=torch.float64), **TOLERANCE[torch.float64])


def test_ties_of_decimals_are_ties() -> None:
    """Labels in steps of 0.1, of which float32 makes distances that differ in the last bits."""
    steps = torch.randint(0, 50, (60,), generator=torch.Generator().manual_seed(0))
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tenths = torch.tensor([round(0.1 * step, 1) for step in steps.tolist()])
    expected = rank_n_contrast_loss(features, steps, reduction="none")
    torch.testing.assert_close(rank_n_contrast_loss(features, tenths, reduction="none"), expected)


def test_exponentials_that_vanish_cost_no_logarithm() -> None:
    """All similarities are -5000 or less, and e to that is 0 in any precision."""
    features = torch.tensor([[0.0], [10000.0], [30000.0], [10001.0]], requires_grad=True)
    labels = torch.tensor([1.0, 2.0, 4.0, 3.0])
    terms = rank_n_contrast_loss(features, labels, reduction="none")
    (slope,) = torch.autograd.grad(terms[0], features)
    # To anchor 0 the farther label is always less similar; only 1 (-5000) has a rival, 3 (-5000.5).
    assert terms[0].item() == pytest.approx(math.log(1 + math.exp(-0.5)) / 3, rel=1e-3)
    assert torch.isfinite(terms).all()
    share = math.exp(-0.5) / (1 + math.exp(-0.5)) / 2 / 3  # of the rival, over temperature and pairs
    assert slope.flatten().tolist() == pytest.approx([0, share, 0, -share], abs=1e-4)


def test_descending_the_loss_orders_the_features_as_the_labels() -> None:
    labels = torch.tensor([4.0, 1.0, 3.0, 2.0, 5.0])
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for _ in range(500):
        (slope,) = torch.autograd.grad(rank_n_contrast_loss(features, labels, temperature=0.5), features)
        features = (features - 0.2 * slope).detach().requires_grad_()
    apart, between = torch.cdist(features, features), (labels.unsqueeze(1) - labels).abs()
    for i in range(5):
        for j in range(5):
            assert (apart[i][between[i] > between[i, j]] > apart[i, j]).all()
