import math
from typing import Any

import pytest
import torch

from conr.losses import supcon_loss

# Cosines: 0-1 0.8, 0-2 0, 0-3 0.6, 1-2 0.6, 1-3 0.96, 2-3 0.8.
FEATURES = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)


def test_four_samples_by_hand() -> None:
    """Bins of width 5 are centred at 10 (0, 1, 2) and 40 (3, alone)."""
    labels = torch.tensor([8.0, 12.0, 7.5, 40.0], dtype=torch.float64)
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)

    def term(weight: float, positives: list[float], negative: float) -> float:
        total = sum(math.exp(cos / 0.5) for cos in (*positives, negative))
        return weight * (math.log(total) - sum(positives) / 0.5 / len(positives))

    expected = [term(0.5, [0.8, 0.0], 0.6), term(1.0, [0.8, 0.6], 0.96), term(2.0, [0.0, 0.6], 0.8), 0.0]
    given: dict[str, Any] = {"bin_width": 5.0, "temperature": 0.5, "weights": weights}
    terms = supcon_loss(FEATURES, labels, reduction="none", **given)
    torch.testing.assert_close(terms, torch.tensor(expected, dtype=torch.float64))
    assert supcon_loss(FEATURES, labels, **given).item() == pytest.approx(sum(expected) / 4)


def test_bins_are_centred_at_multiples_of_their_width() -> None:
    """0.3 lies in the bin of 0.3, though three tenths are less than 0.3 in floating point; halves go up."""
    labels = torch.tensor([0.3, 0.1 + 0.2, 0.349, 0.351])
    terms = supcon_loss(FEATURES, labels, bin_width=0.1, reduction="none")
    assert (terms != 0).tolist() == [True, True, True, False]
    halves = supcon_loss(FEATURES, torch.tensor([0.5, 1.0, 1.5, 3.0]), bin_width=1.0, reduction="none")
    assert (halves != 0).tolist() == [True, True, False, False]


def test_labels_of_several_dimensions_must_agree_in_all() -> None:
    labels = torch.tensor([[1.0, 1.0], [1.2, 0.9], [1.0, 2.0], [2.0, 1.0]])
    terms = supcon_loss(FEATURES, labels, bin_width=1.0, reduction="none")
    assert (terms != 0).tolist() == [True, True, False, False]


def test_far_negatives_are_pushed_as_near_ones() -> None:
    near, far = torch.tensor([1.0, 1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 99.0, -50.0])
    assert torch.equal(supcon_loss(FEATURES, near, bin_width=1.0), supcon_loss(FEATURES, far, bin_width=1.0))


def test_a_large_batch_is_computed_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    from conr.pairwise import engines  # noqa: PLC0415

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(950, 4, dtype=torch.float64, generator=generator).requires_grad_()
    labels = torch.rand(950, 2, generator=generator)
    at_once = supcon_loss(features, labels, bin_width=0.25)
    (expected,) = torch.autograd.grad(at_once, features)
    monkeypatch.setattr(engines, "MAX_DENSE_BYTES", 8 * 950**2 - 1)
    monkeypatch.delattr(engines, "contrast_pairs")
    by_tiles = supcon_loss(features, labels, bin_width=0.25)
    (gradient,) = torch.autograd.grad(by_tiles, features)
    torch.testing.assert_close(by_tiles, at_once)
    torch.testing.assert_close(gradient, expected)
