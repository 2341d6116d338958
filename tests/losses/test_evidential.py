import math

import pytest
import torch
from scipy.stats import t as student

from conr.losses import Evidential, evidential_loss, evidential_parameters
from conr.models import EvidentialHead

LABELS = torch.tensor([21.0, 40.0, -3.0, 0.0], dtype=torch.float64)
OUTPUTS = torch.tensor(
    [[20.0, 0.0, 1.0, 2.0], [30.0, 0.0, 1.0, 2.0], [-3.0, 2.0, -1.0, 0.5], [5.0, -4.0, 3.0, 6.0]], dtype=torch.float64
)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x)) + 1e-6


def test_likelihood_of_four_samples_is_that_of_a_student_t() -> None:
    """What is left when mean and variance are integrated out."""
    losses = evidential_loss(OUTPUTS, LABELS, coefficient=0.0, reduction="none")
    for loss, label, (gamma, *raw) in zip(losses.tolist(), LABELS.tolist(), OUTPUTS.tolist(), strict=True):
        nu, alpha, beta = softplus(raw[0]), 1 + softplus(raw[1]), softplus(raw[2])
        scale = math.sqrt(beta * (1 + nu) / (nu * alpha))
        assert loss == pytest.approx(-student.logpdf(label, df=2 * alpha, loc=gamma, scale=scale), rel=1e-10)


def test_the_price_of_evidence_by_hand() -> None:
    """An error of 10 with evidence softplus(0) and concentration 1 + softplus(1)."""
    free = evidential_loss(OUTPUTS, LABELS, coefficient=0.0, reduction="none")
    priced = evidential_loss(OUTPUTS, LABELS, coefficient=0.1, reduction="none")
    assert (priced - free)[1].item() == pytest.approx(0.1 * 10 * (2 * softplus(0) + 1 + softplus(1)))
    assert (priced - free)[2] == 0  # no error
    assert Evidential(coefficient=0.1)(OUTPUTS, LABELS) == priced.mean()


def test_uncertainties_by_hand() -> None:
    found = evidential_parameters(OUTPUTS)
    assert found.mean.tolist() == [20, 30, -3, 5]
    assert found.evidence[0].item() == pytest.approx(math.log(2) + 1e-6)
    alpha, beta = 1 + softplus(1), softplus(2)
    assert found.aleatoric[0].item() == pytest.approx(beta / (alpha - 1))
    assert found.epistemic[0].item() == pytest.approx(beta / (alpha - 1) / softplus(0))
    assert evidential_parameters(OUTPUTS.half()).mean.dtype == torch.float32


def test_several_label_dimensions_are_averaged() -> None:
    outputs, labels = OUTPUTS.reshape(2, 2, 4), LABELS.reshape(2, 2)
    expected = evidential_loss(OUTPUTS, LABELS, reduction="none").reshape(2, 2).mean(dim=1)
    torch.testing.assert_close(evidential_loss(outputs, labels, reduction="none"), expected)


def test_extreme_outputs_stay_finite() -> None:
    outputs = torch.tensor([[0.0, -1e4, -1e4, -1e4], [0.0, 1e4, 1e4, 1e4]], requires_grad=True)
    loss = evidential_loss(outputs, torch.tensor([1.0, 1.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()
    found = evidential_parameters(outputs)
    assert torch.isfinite(torch.stack((found.aleatoric, found.epistemic))).all()


def test_it_learns_mean_and_noise() -> None:
    """Two inputs whose labels spread by 1 and by 5: both become known."""
    torch.manual_seed(0)
    inputs = torch.eye(2).repeat(400, 1)
    labels = 3 + torch.tensor([1.0, 5.0]).repeat(400) * torch.randn(800)
    head = EvidentialHead(2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        Evidential(coefficient=0)(head(inputs), labels).backward()
        optimizer.step()
    found = evidential_parameters(head(torch.eye(2)))
    assert found.mean.tolist() == pytest.approx([3, 3], abs=0.6)
    # The variance of a new label: aleatoric and epistemic together.
    assert (found.aleatoric + found.epistemic).sqrt().tolist() == pytest.approx([1, 5], rel=0.35)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"expected shapes \(n, 4\) and \(n,\), or \(n, k, 4\) and \(n, k\), got"):
        evidential_loss(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"outputs: expected shape \(..., 4\), got \(2, 3\)"):
        evidential_parameters(torch.zeros(2, 3))
