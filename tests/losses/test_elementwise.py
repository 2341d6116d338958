import pytest
import torch

from conr.losses import L1, MSE, Huber, elementwise_loss, image_means

LABELS = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
PREDICTIONS = torch.tensor([[0.5, 1.0], [5.0, 1.0]])  # errors 0.5 0 | 3 -2
WEIGHTS = torch.tensor([0.5, 2.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("l1", [0.25, 2.5]), ("mse", [0.125, 6.5]), ("huber", [(0.25 / 4) / 2, ((3 - 1) + (2 - 1)) / 2])],
)
def test_values_by_hand(kind: str, expected: list[float]) -> None:
    """Huber with delta 2: 0.25 / 4 below it, |e| - 1 above."""
    plain = elementwise_loss(PREDICTIONS, LABELS, kind=kind, delta=2.0, reduction="none")
    assert plain.tolist() == pytest.approx(expected)
    weighted = elementwise_loss(PREDICTIONS, LABELS, WEIGHTS, kind=kind, delta=2.0, reduction="none")
    assert weighted.tolist() == pytest.approx([0.5 * expected[0], 2 * expected[1]])
    assert elementwise_loss(PREDICTIONS, LABELS, WEIGHTS, kind=kind, delta=2.0) == pytest.approx(weighted.mean().item())
    total = elementwise_loss(PREDICTIONS, LABELS, WEIGHTS, kind=kind, delta=2.0, reduction="sum")
    assert total == pytest.approx(weighted.sum().item())


def test_modules_are_their_functions() -> None:
    assert torch.equal(L1()(PREDICTIONS, LABELS, WEIGHTS), elementwise_loss(PREDICTIONS, LABELS, WEIGHTS, kind="l1"))
    assert torch.equal(MSE()(PREDICTIONS, LABELS), elementwise_loss(PREDICTIONS, LABELS, kind="mse"))
    expected = elementwise_loss(PREDICTIONS, LABELS, kind="huber", delta=0.3)
    assert torch.equal(Huber(delta=0.3)(PREDICTIONS, LABELS), expected)


def test_image_means() -> None:
    depth = torch.tensor([[[1.0, 3.0], [5.0, 7.0]], [[2.0, 2.0], [4.0, 0.0]]])
    assert image_means(depth).tolist() == [4.0, 2.0]
    mask = torch.tensor([[[True, False], [True, False]], [[False, False], [False, False]]])
    assert image_means(depth, mask).tolist() == [3.0, 0.0]
    assert image_means(depth.half()).dtype == torch.float32
    with pytest.raises(ValueError, match="with at least one pixel dimension, got"):
        image_means(torch.zeros(3))
    with pytest.raises(ValueError, match=r"mask: expected torch\.bool of shape"):
        image_means(depth, torch.ones(2, 2, 2))
