from typing import Any

import pytest
import torch
from scipy.stats import gaussian_kde

from conr.losses import DistLoss, dist_loss

QUANTILES = torch.tensor([[0.0], [10.0]], dtype=torch.float64)  # labels are uniform on [0, 10]
LABELS = torch.tensor([8.0, 2.0, 4.0, 7.0], dtype=torch.float64)
PREDICTIONS = torch.tensor([9.0, 1.0, 4.0, 6.0], dtype=torch.float64)  # of ranks 4 1 2 3
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 0.5], dtype=torch.float64)


def test_four_samples_by_hand() -> None:
    """Pseudo-labels 8.75, 1.25, 3.75 and 6.25: each a quarter away; errors 1, -1, 0 and -1."""
    losses = dist_loss(PREDICTIONS, LABELS, quantiles=QUANTILES, coefficient=2.0, reduction="none")
    assert losses.tolist() == [1.5, 1.5, 0.5, 1.5]
    weighted = dist_loss(PREDICTIONS, LABELS, WEIGHTS, quantiles=QUANTILES, coefficient=2.0)
    assert weighted == (1.5 + 3 + 0.25 + 0.75) / 4
    squared = dist_loss(PREDICTIONS, LABELS, quantiles=QUANTILES, kind="mse", reduction="none")
    assert squared.tolist() == [1 + 1 / 16, 1 + 1 / 16, 1 / 16, 1 + 1 / 16]


@pytest.mark.parametrize("kind", ["l1", "mse"])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_the_second_term_is_the_distance_of_two_sorted_lists(kind: str, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    labels = 10 * torch.rand(n, 2, generator=generator, dtype=torch.float64)
    predictions = (10 * torch.rand(n, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    quantiles = torch.cat((QUANTILES, 2 * QUANTILES + 1), dim=1)
    pseudo = (torch.arange(n, dtype=torch.float64).unsqueeze(1) + 0.5) / n * torch.tensor([[10, 20]])
    pseudo = pseudo + torch.tensor([[0, 1]])
    distance = predictions.sort(dim=0).values - pseudo
    expected = (distance.abs() if kind == "l1" else distance.square()).mean()
    both = dist_loss(predictions, labels, quantiles=quantiles, kind=kind)
    own = dist_loss(predictions, labels, quantiles=quantiles, kind=kind, coefficient=0.0)
    torch.testing.assert_close(both - own, expected)
    gradients = [torch.autograd.grad(value, predictions)[0] for value in (both - own, expected)]
    torch.testing.assert_close(*gradients)


def test_equal_predictions_are_ranked_in_their_order() -> None:
    losses = dist_loss(torch.full_like(LABELS, 5), LABELS, quantiles=QUANTILES, reduction="none")
    assert losses.tolist() == [3 + 3.75, 3 + 1.25, 1 + 1.25, 2 + 3.75]


def test_the_module_knows_the_quantiles_of_the_smoothed_labels() -> None:
    """Quantiles are those of scipy's density with the same bandwidth, cut off at the smallest and largest label."""
    labels = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 9.0], dtype=torch.float64)
    criterion = DistLoss(bandwidth=0.4).fit(labels)
    density = gaussian_kde(labels.numpy(), bw_method=0.4)
    inside = density.integrate_box_1d(1, 9)
    assert criterion.quantiles is not None
    for level in (0.0, 0.1, 0.5, 0.9, 1.0):
        quantile = criterion.quantiles[round(4096 * level), 0].item()
        assert density.integrate_box_1d(1, quantile) / inside == pytest.approx(round(4096 * level) / 4096, abs=1e-4)


def test_a_batch_like_the_training_labels_has_nearly_no_second_term() -> None:
    labels = 10 * torch.rand(2000, generator=torch.Generator().manual_seed(0)) ** 2
    criterion = DistLoss(bandwidth=0.01).fit(labels)
    assert criterion(labels, labels) < 0.1  # not 0: the density is cut off where labels are most common
    assert criterion(labels.mean().expand_as(labels), labels) > 4  # what a collapsed batch pays: twice the deviation


@pytest.mark.parametrize(
    ("quantiles", "message"),
    [
        ([[0.0], [1.0]], "quantiles: expected a torch.Tensor, got list"),
        (torch.ones(3), r"quantiles: expected shape \(q, 1\), got \(3,\)"),
        (torch.ones(3, 2), r"quantiles: expected shape \(q, 1\), got \(3, 2\)"),
        (torch.ones(1, 1), r"quantiles: expected at least two, got shape \(1, 1\)"),
        (torch.ones(2, 1, device="meta"), "quantiles: expected device cpu"),
    ],
)
def test_wrong_quantiles(quantiles: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        dist_loss(PREDICTIONS, LABELS, quantiles=quantiles)
