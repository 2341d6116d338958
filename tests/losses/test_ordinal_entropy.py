import math

import pytest
import torch
from tests.contracts.batches import make_batch

from conr.losses import ordinal_entropy_loss

FEATURES = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 3.0], [-5.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([1.0, 1.0, 2.0, 5.0], dtype=torch.float64)


def test_four_samples_by_hand() -> None:
    """Centres are (1, 1) / sqrt 2 of label 1, (0, 1) of 2 and (-1, 0) of 5; pairs are 1, 3 and 4 apart."""
    half = math.sqrt(0.5)
    weight_1_2, weight_2_5, weight_1_5 = (1 - 1) / 4, (3 - 1) / 4, (4 - 1) / 4
    spread = (
        weight_1_2 * math.dist((half, half), (0, 1))
        + weight_2_5 * math.dist((0, 1), (-1, 0))
        + weight_1_5 * math.dist((half, half), (-1, 0))
    ) / 3
    apart = math.dist((1, 0), (half, half))  # of sample 0, and of sample 1 too; 2 and 3 are alone
    assert ordinal_entropy_loss(FEATURES, LABELS).item() == pytest.approx(apart - spread)
    weights = torch.tensor([0.5, 1.0, 7.0, 7.0], dtype=torch.float64)
    weighted = ordinal_entropy_loss(FEATURES, LABELS, diversity=0.2, tightness=3.0, weights=weights)
    assert weighted.item() == pytest.approx(3.0 * apart * (0.5 + 1.0) / 2 - 0.2 * spread)


def test_one_label_has_no_diversity() -> None:
    features = FEATURES.clone().requires_grad_()
    loss = ordinal_entropy_loss(features, torch.ones(4), tightness=0.0)
    assert loss == 0
    (slope,) = torch.autograd.grad(loss, features)
    assert not slope.any()


def test_the_nearest_pair_of_labels_does_not_repel() -> None:
    """With two labels, the only pair is the nearest."""
    assert ordinal_entropy_loss(FEATURES, torch.tensor([1.0, 1.0, 9.0, 9.0]), tightness=0.0) == 0


def test_distinct_labels_have_no_tightness_until_they_are_rounded() -> None:
    labels = torch.tensor([0.9, 1.2, 2.0, 5.0])
    assert ordinal_entropy_loss(FEATURES, labels, diversity=0.0) == 0
    rounded = ordinal_entropy_loss(FEATURES, labels, bin_width=1.0)
    torch.testing.assert_close(rounded, ordinal_entropy_loss(FEATURES, LABELS))


def test_descending_the_loss_spreads_labels_and_gathers_equals() -> None:
    batch = make_batch(3, n=24, d=4)
    features = batch.features.requires_grad_()
    for _ in range(400):
        (slope,) = torch.autograd.grad(ordinal_entropy_loss(features, batch.labels, tightness=2.0), features)
        features = (features - 2.0 * slope).detach().requires_grad_()
    units = torch.nn.functional.normalize(features.detach(), dim=1)
    apart, between = torch.cdist(units, units), (batch.labels - batch.labels.T).abs()
    assert apart[between == 0].mean() < 0.1
    assert apart[between == 1].mean() < 1.0
    assert apart[between == 5].mean() > 1.8
