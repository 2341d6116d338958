from typing import Any

import pytest
import torch
from hypothesis import given, settings
from tests.contracts.batches import Batch, batches, make_batch
from tests.oracles.ranksim import cosine, cosine_slope, mean_ranks, ranksim_gradient, ranksim_per_row
from tests.tolerances import TOLERANCE
from torch import Tensor

from conr.losses import RankSimLoss, ranksim_loss

# Cosines: 0-1 0.8, 0-2 0, 0-3 0.6, 1-2 0.6, 1-3 0.96, 2-3 0.8.
FEATURES = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)


def gradient(batch: Batch, factor: float = 1.0, **settings_: Any) -> Tensor:
    features = batch.features.detach().clone().requires_grad_()
    loss = ranksim_loss(features, batch.labels, weights=batch.weights, deduplicate=False, **settings_)
    (slope,) = torch.autograd.grad(factor * loss.sum(), features)
    return slope


def test_ties_of_decimals_are_ties() -> None:
    """Labels in steps of 0.1, of which float32 makes distances that differ in the last bits."""
    steps = torch.randint(0, 50, (60,), generator=torch.Generator().manual_seed(0))
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tenths = torch.tensor([round(0.1 * step, 1) for step in steps.tolist()])
    expected = ranksim_loss(features, steps, deduplicate=False, reduction="none")
    torch.testing.assert_close(ranksim_loss(features, tenths, deduplicate=False, reduction="none"), expected)


def test_four_samples_by_hand() -> None:
    """Times 4, the ranks by features are 1 2 4 3 | 3 1 4 2 | 4 3 1 2 | 4 2 3 1.

    By labels they are 1 2 3 4 | 2.5 1 2.5 4 (20 is as far from 10 as from 30) | 3 2 1 4 | 4 3 2 1.
    """
    labels = torch.tensor([10.0, 20.0, 30.0, 60.0], dtype=torch.float64)
    terms = ranksim_loss(FEATURES, labels, reduction="none")
    expected = torch.tensor([2.0, 0.25 + 2.25 + 4.0, 1.0 + 1.0 + 4.0, 2.0], dtype=torch.float64) / 64
    torch.testing.assert_close(terms, expected)
    assert ranksim_loss(FEATURES, labels).item() == pytest.approx(16.5 / 64 / 4)


@settings(max_examples=60, deadline=None)
@given(batch=batches((1, 2)))
def test_gradient_is_the_black_box_one(batch: Batch) -> None:
    expected = ranksim_gradient(
        batch.features.tolist(), batch.labels.tolist(), batch.weights.tolist(), interpolation=0.7, distance="l1"
    )
    slope = gradient(batch, interpolation=0.7, distance="l1", reduction="sum")
    torch.testing.assert_close(slope, torch.tensor(expected, dtype=torch.float64), **TOLERANCE[torch.float64])


def test_a_coefficient_and_an_interpolation_reproduce_the_published_gradient() -> None:
    """There, what arrives from above is gamma times the slope of the sum, and the interpolation stretches all of it."""
    gamma, published = 30.0, 2.0
    batch = make_batch(4, n=9)._replace(weights=torch.ones(9, dtype=torch.float64))
    features, labels = batch.features.tolist(), batch.labels.flatten().tolist()
    expected = torch.zeros_like(batch.features)
    for i in range(9):
        similarities = [cosine(features[i], other) for other in features]
        ranks = mean_ranks(similarities)
        wanted = mean_ranks([-abs(labels[i] - label) for label in labels])
        above = [gamma * 2 * (f - a) / 9 for f, a in zip(ranks, wanted, strict=True)]
        moved = mean_ranks([s + published * slope for s, slope in zip(similarities, above, strict=True)])
        for j in range(9):
            slope = -(ranks[j] - moved[j]) / published
            expected[i] += slope * torch.tensor(cosine_slope(features[i], features[j]), dtype=torch.float64)
            expected[j] += slope * torch.tensor(cosine_slope(features[j], features[i]), dtype=torch.float64)
    found = gradient(batch, factor=gamma, interpolation=gamma * published, reduction="sum")
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, **TOLERANCE[torch.float64])


def test_loss_scaling_scales_the_gradient() -> None:
    batch = make_batch(1)
    torch.testing.assert_close(gradient(batch, factor=65536.0), 65536 * gradient(batch))


def test_one_sample_of_each_label_takes_part_drawn_at_random() -> None:
    labels = torch.tensor([3.0, 3.0, 3.0, 7.0, 7.0, 9.0])
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    subsets = [[a, b, 5] for a in (0, 1, 2) for b in (3, 4)]
    of_subset = {}
    for subset in subsets:
        chosen = features[subset].tolist(), labels[subset].unsqueeze(1).tolist()
        terms = torch.zeros(6, dtype=torch.float64)
        terms[subset] = torch.tensor(
            ranksim_per_row(*chosen, [], [1.0] * 3, interpolation=2.0, distance="l2"), dtype=torch.float64
        )
        of_subset[tuple(subset)] = terms
    drawn = set()
    for seed in range(60):
        torch.manual_seed(seed)
        terms = ranksim_loss(features, labels, reduction="none")
        matches = [subset for subset, expected in of_subset.items() if torch.allclose(terms, expected)]
        assert matches
        drawn.update(matches)
        torch.manual_seed(seed)
        torch.testing.assert_close(ranksim_loss(features, labels), terms.sum() / 3)
    assert drawn == set(of_subset)


def test_distinct_labels_all_take_part() -> None:
    batch = make_batch(2)
    labels = torch.arange(16.0)
    assert torch.equal(ranksim_loss(batch.features, labels), ranksim_loss(batch.features, labels, deduplicate=False))


def test_descending_the_loss_orders_the_features_as_the_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(12, generator=generator)
    features = torch.randn(12, 8, generator=generator).requires_grad_()
    before = ranksim_loss(features, labels)
    for _ in range(300):
        (slope,) = torch.autograd.grad(ranksim_loss(features, labels, reduction="sum"), features)
        features = (features - 0.1 * slope).detach().requires_grad_()
    assert before > 0.1
    assert ranksim_loss(features, labels) < 0.02


def test_the_module_passes_its_hyperparameters_on() -> None:
    batch = make_batch(5, k=2)
    module = RankSimLoss(interpolation=3.0, deduplicate=False, distance="l1", reduction="sum")
    expected = ranksim_loss(
        batch.features, batch.labels, weights=batch.weights, deduplicate=False, distance="l1", reduction="sum"
    )
    assert torch.equal(module(*batch), expected)
    assert torch.equal(module(batch.features, batch.labels, weights=batch.weights), expected)
