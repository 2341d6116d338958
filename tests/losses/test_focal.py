import math
from typing import Any

import pytest
import torch

from conr.losses import L1, FocalR, elementwise_loss, focal_r_loss

LABELS = torch.tensor([0.0, 5.0, 3.0, 10.0])
PREDICTIONS = torch.tensor([1.0, 3.0, 3.0, 20.0])  # errors 1 -2 0 10
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.244919, 0.924234, 0, 9.866143]),  # tanh(0.25), 2 tanh(0.5), 10 tanh(2.5)
        ({"activation": "tanh"}, [0.462117, 1.523188, 0, 9.999092]),  # tanh(0.5), 2 tanh(1), 10 tanh(5)
        ({"kind": "mse"}, [0.244919, 1.848469, 0, 98.661430]),
        ({"focus": 2.0}, [0.059985, 0.427104, 0, 9.734078]),
        ({"focus": 0.0}, [1, 2, 0, 10]),
    ],
)
def test_four_samples_by_hand(settings: dict[str, Any], expected: list[float]) -> None:
    settings = {"error_scale": 0.5} | settings
    losses = focal_r_loss(PREDICTIONS, LABELS, reduction="none", **settings)
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)
    total = focal_r_loss(PREDICTIONS, LABELS, WEIGHTS, reduction="sum", **settings)
    assert total == pytest.approx(expected[0] + 2 * expected[1] + 0.5 * expected[3], rel=1e-5)
    assert FocalR(**settings)(PREDICTIONS, LABELS, WEIGHTS) == total / 4


def test_the_factor_is_the_released_code_s() -> None:
    """2 sigmoid(0.2 * 5) - 1 = 0.4621 for an error of 5 years, where the paper's text gives 0.7311."""
    loss = focal_r_loss(torch.tensor([35.0]), torch.tensor([30.0]))
    assert loss == pytest.approx(5 * (2 / (1 + math.exp(-1)) - 1), rel=1e-6)


def test_a_huge_scale_or_no_focus_leaves_the_error() -> None:
    wrong = LABELS + torch.tensor([1.0, -2.0, 3.0, 10.0])
    assert FocalR(error_scale=1e3)(wrong, LABELS) == L1()(wrong, LABELS)
    assert FocalR(kind="mse", focus=0)(wrong, LABELS) == elementwise_loss(wrong, LABELS, kind="mse")


@pytest.mark.parametrize("focus", [0.0, 0.3, 1.0, 2.0])
def test_an_exact_prediction_has_no_gradient(focus: float) -> None:
    predictions = LABELS.clone().requires_grad_()
    focal_r_loss(predictions, LABELS, focus=focus).backward()  # type: ignore[no-untyped-call]
    assert predictions.grad is not None
    assert not predictions.grad.any()
