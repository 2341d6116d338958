import math
from typing import Any

import pytest
import torch
from tests.tolerances import TOLERANCE
from torch import Tensor, nn

from conr import Bins
from conr.losses import BNI, GAI, L1, MSE, FocalR, Huber, masked_rows, pixel_rows, sample_patches, valid_pixels

NAN = math.nan


def maps(k: int = 1, *, missing: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions, labels with gaps, and weights of 3 images of 4 x 5 pixels."""
    generator = torch.Generator().manual_seed(k)
    predictions, labels = torch.randn(2, 3, k, 4, 5, generator=generator, dtype=torch.float64)
    weights = 0.5 + torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
    gaps = torch.rand(labels.shape, generator=generator) < missing / k
    return predictions, labels.masked_fill(gaps, NAN), weights


def test_a_pixel_is_valid_if_all_its_numbers_are() -> None:
    labels = torch.tensor([[[[1.0, NAN]], [[NAN, 2.0]]], [[[1.0, NAN]], [[2.0, 3.0]]]])  # (2, 2, 1, 2)
    assert valid_pixels(labels).tolist() == [[[False, False]], [[True, False]]]


def test_rows_are_pixels_in_reading_order() -> None:
    values = torch.arange(12.0).view(1, 2, 2, 3)
    assert pixel_rows(values).tolist() == [[i, i + 6] for i in range(6)]
    assert pixel_rows(values[:, :1]).tolist() == [0, 1, 2, 3, 4, 5]


def criteria() -> list[nn.Module]:
    """All that are a weighted mean over rows; the last two know the labels of a training split."""
    known = torch.randn(200, generator=torch.Generator().manual_seed(0))
    balanced = BNI(noise_scale=0.7).fit(known, Bins.by_width(known, width=0.5)), GAI(noise_scale=0.7).fit(known)
    return [L1(), MSE(), Huber(delta=0.5), FocalR(), *balanced]


@pytest.mark.parametrize(
    ("criterion", "k"),
    [(one, k) for one in criteria() for k in (1, 2) if k == 1 or not isinstance(one, BNI | GAI)],
    ids=str,
)
@pytest.mark.parametrize("weighted", [True, False])
def test_the_mean_of_masked_rows_is_that_of_the_valid_pixels(criterion: nn.Module, k: int, *, weighted: bool) -> None:
    predictions, labels, weights = maps(k)
    valid = valid_pixels(labels)
    assert 0 < valid.sum() < valid.numel()
    predictions.requires_grad_()
    chosen, targets = predictions.movedim(1, -1)[valid], labels.movedim(1, -1)[valid]  # (r, k)
    expected = criterion(chosen, targets, weights[valid] if weighted else None)
    loss = criterion(*masked_rows(predictions, labels, weights if weighted else None))
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float64])
    (expected_slope,) = torch.autograd.grad(expected, predictions)
    (slope,) = torch.autograd.grad(loss, predictions)
    torch.testing.assert_close(slope, expected_slope, **TOLERANCE[torch.float64])


def test_a_criterion_may_expect_several_numbers_per_pixel() -> None:
    _, labels, _ = maps()
    outputs = torch.randn(3, 4, 4, 5)
    rows, targets, _ = masked_rows(outputs, labels)
    assert (rows.shape, targets.shape) == ((60, 4), (60,))
    assert torch.equal(rows[targets != 0], pixel_rows(outputs)[targets != 0])


def test_without_a_valid_pixel_the_loss_is_zero_and_keeps_the_graph() -> None:
    predictions, labels, weights = maps()
    loss = MSE()(*masked_rows(predictions.requires_grad_(), torch.full_like(labels, NAN), weights))
    loss.backward()
    assert loss.item() == 0
    assert predictions.grad is not None
    assert not predictions.grad.any()


def test_a_weight_that_is_nan_where_there_is_no_label_does_not_matter() -> None:
    predictions, labels, weights = maps()
    expected = masked_rows(predictions, labels, weights)[2]
    assert torch.equal(masked_rows(predictions, labels, weights.where(valid_pixels(labels), NAN))[2], expected)


def test_all_patches_of_a_batch_by_hand() -> None:
    """Two maps of 5 x 4: four patches of 2 x 2 each, the last row is in none; one patch has no valid pixel."""
    values = torch.arange(40.0).view(2, 1, 5, 4)
    valid = torch.ones(2, 5, 4, dtype=torch.bool)
    valid[0, :2, :2] = False
    valid[1, 2, 3] = False
    patches = sample_patches(valid, samples=100, patch=2)
    assert patches.rows.shape == (8, 4)
    assert patches.found.sum() == 7
    means = patches.mean(torch.cat((values, -values), dim=1))  # (8, 2)
    assert torch.equal(means[:, 0], -means[:, 1])
    assert sorted(means[patches.found, 0].tolist()) == pytest.approx(
        sorted([4.5, 10.5, 12.5, 22.5, 24.5, 30.5, (30 + 34 + 35) / 3])
    )
    assert means[~patches.found].tolist() == [[0, 0]]


def test_each_valid_pixel_is_drawn_as_often_and_none_twice() -> None:
    torch.manual_seed(0)
    valid = torch.rand(2, 6, 5) < 0.7
    draws, samples = 1500, 10
    counts = torch.zeros(valid.shape)
    for _ in range(draws):
        patches = sample_patches(valid, samples=samples)
        assert patches.found.all()
        drawn = torch.stack((patches.images, patches.rows, patches.columns)).flatten(1)
        assert len(torch.unique(drawn, dim=1).T) == samples
        counts[tuple(drawn)] += 1
    assert not counts[~valid].any()
    share = samples / int(valid.sum())
    deviation = (draws * share * (1 - share)) ** 0.5
    assert ((counts[valid] - draws * share).abs() < 4.5 * deviation).all()


def test_the_global_random_state_decides() -> None:
    valid = torch.ones(2, 8, 8, dtype=torch.bool)
    torch.manual_seed(3)
    first, second = sample_patches(valid, samples=9), sample_patches(valid, samples=9)
    torch.manual_seed(3)
    assert torch.equal(sample_patches(valid, samples=9).rows, first.rows)
    assert not torch.equal(first.rows, second.rows)


def test_no_value_is_read() -> None:
    """A meta tensor has no values: a step that reads one, or that mixes in a CPU tensor, raises."""
    predictions, labels, weights = (dense.to("meta") for dense in maps())
    assert masked_rows(predictions, labels, weights)[2].shape == (60,)
    patches = sample_patches(valid_pixels(labels), samples=5, patch=2)
    assert patches.mean(predictions).shape == (5, 1)


def test_fewer_valid_patches_than_wanted() -> None:
    valid = torch.zeros(1, 3, 3, dtype=torch.bool)
    valid[0, 1, 2] = True
    patches = sample_patches(valid, samples=4)
    assert patches.found.tolist() == [True, False, False, False]
    assert (patches.rows[0].item(), patches.columns[0].item()) == (1, 2)
    assert not sample_patches(torch.zeros(1, 3, 3, dtype=torch.bool), samples=4).found.any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": torch.zeros(2, 3, 4)}, ValueError, r"labels: expected shape \(n, k, h, w\), got \(2, 3, 4\)"),
        ({"labels": torch.zeros(2, 1, 3, 4).long()}, TypeError, "labels: expected a floating-point torch.Tensor, got"),
        ({"predictions": [0.0]}, TypeError, "predictions: expected a floating-point torch.Tensor, got list"),
        ({"predictions": torch.zeros(2, 1, 3, 5)}, ValueError, r"predictions: expected shape \(2, c, 3, 4\) like"),
        ({"weights": torch.ones(2, 1, 3, 4)}, ValueError, r"weights: expected shape \(2, 3, 4\), got \(2, 1, 3, 4\)"),
        ({"weights": torch.ones(2, 3, 4, device="meta")}, ValueError, "weights: expected device cpu"),
        ({"predictions": torch.zeros(2, 1, 3, 4, device="meta")}, ValueError, "predictions: expected device cpu"),
    ],
)
def test_maps_that_do_not_fit(change: dict[str, Any], error: type[Exception], message: str) -> None:
    good = {"predictions": torch.zeros(2, 1, 3, 4), "labels": torch.zeros(2, 1, 3, 4), "weights": torch.ones(2, 3, 4)}
    with pytest.raises(error, match=message):
        masked_rows(**good | change)


@pytest.mark.parametrize(
    ("valid", "settings", "message"),
    [
        (torch.ones(2, 3), {}, r"valid: expected torch.bool of shape \(n, h, w\), got torch.float32 of \(2, 3\)"),
        (torch.ones(2, 3, 4), {}, "valid: expected torch.bool"),
        (torch.ones(2, 3, 4).bool(), {"samples": 0}, "samples: expected a number of at least 1, got 0"),
        (torch.ones(2, 3, 4).bool(), {"patch": 0}, "patch: expected a number of at least 1, got 0"),
        (torch.ones(2, 3, 4).bool(), {"patch": 4}, "patch: expected at most the size of the maps, 3 x 4, got 4"),
    ],
)
def test_samples_that_cannot_be_drawn(valid: Tensor, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_patches(valid, **{"samples": 5} | settings)
