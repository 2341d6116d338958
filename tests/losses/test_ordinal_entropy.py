import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.contracts.batches import make_batch
from tests.contracts.registry import REGULARIZERS

from conr.losses import OrdinalEntropyLoss, ordinal_entropy_loss
from conr.testing.regularizers import equals_its_oracle

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


def test_other_settings_than_the_contract_s_equal_the_oracle() -> None:
    case = REGULARIZERS["ordinal-entropy"]
    equals_its_oracle(replace(case, settings={**case.settings, "bin_width": None, "distance": "l1"}))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": torch.zeros(4)}, ValueError, r"features: expected shape \(n, d\), got \(4,\)"),
        ({"labels": torch.zeros(5)}, ValueError, "labels: expected 4 samples like features, got 5"),
        ({"weights": torch.ones(3)}, ValueError, r"weights: expected shape \(4,\), got \(3,\)"),
        ({"diversity": -1.0}, ValueError, "diversity: expected a number of at least 0, got -1.0"),
        ({"tightness": -1.0}, ValueError, "tightness: expected a number of at least 0, got -1.0"),
        ({"bin_width": 0.0}, ValueError, "bin_width: expected a number above 0, got 0.0"),
        ({"diversity": None}, TypeError, "diversity: expected a number, got NoneType"),
        ({"distance": "l3"}, ValueError, "distance: expected one of 'l1', 'l2', 'linf', 'angular', got 'l3'"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ordinal_entropy_loss(**{"features": torch.zeros(4, 3), "labels": torch.zeros(4)} | change)


@pytest.mark.parametrize("change", [{"diversity": -1.0}, {"tightness": -1.0}, {"bin_width": 0.0}, {"distance": "no"}])
def test_the_module_checks_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        OrdinalEntropyLoss(**change)


def test_the_module_prints_its_hyperparameters() -> None:
    assert "diversity=1.0, tightness=0.5, bin_width=None" in repr(OrdinalEntropyLoss(tightness=0.5))
