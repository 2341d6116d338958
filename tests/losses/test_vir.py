import math

import pytest
import torch
from scipy.stats import t as student

from conr.losses import VIR, vir_loss, vir_parameters
from conr.models import VIRHead

LABELS = torch.tensor([21.0, 40.0, -3.0, 0.0], dtype=torch.float64)
OUTPUTS = torch.tensor([[20.0, 0.0, 1.0], [30.0, 20.0, 2.0], [-3.0, -10.0, 0.5], [5.0, 3.0, 6.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def count(x: float) -> float:
    return 2 + 10 * math.log(1 + math.exp(x / 10))


def rate(x: float) -> float:
    return math.log(1 + math.exp(x)) + 1e-6


def test_likelihood_of_four_samples_is_that_of_a_student_t() -> None:
    """What is left when mean and variance are integrated out; a weight multiplies the pseudo-count."""
    losses = vir_loss(OUTPUTS, LABELS, WEIGHTS, coefficient=0.0, reduction="none")
    for loss, label, weight, (gamma, *raw) in zip(
        losses.tolist(), LABELS.tolist(), WEIGHTS.tolist(), OUTPUTS.tolist(), strict=True
    ):
        nu = weight * count(raw[0])
        alpha = 0.3 + nu / 2
        scale = math.sqrt(rate(raw[1]) * (1 + nu) / (nu * alpha))
        assert loss == pytest.approx(-student.logpdf(label, df=2 * alpha, loc=gamma, scale=scale), rel=1e-10)


def test_the_price_of_evidence_by_hand() -> None:
    free = vir_loss(OUTPUTS, LABELS, WEIGHTS, coefficient=0.0, reduction="none")
    priced = vir_loss(OUTPUTS, LABELS, WEIGHTS, coefficient=0.1, reduction="none")
    assert (priced - free)[1].item() == pytest.approx(0.1 * 10 * (2 * count(20) + 0.3 + count(20) / 2))
    assert (priced - free)[2] == 0  # no error
    assert VIR(coefficient=0.1)(OUTPUTS, LABELS, WEIGHTS) == priced.mean()


def test_parameters_by_hand() -> None:
    found = vir_parameters(OUTPUTS, WEIGHTS, prior_evidence=0.25, prior_concentration=1.0)
    assert found.mean.tolist() == [20, 30, -3, 5]
    assert found.evidence[3].item() == pytest.approx(0.25 + 4 * count(3))
    assert found.concentration[3].item() == pytest.approx(1 + 2 * count(3))
    assert found.rate[0].item() == pytest.approx(rate(1))
    plain = vir_parameters(OUTPUTS)
    assert plain.evidence.tolist() == pytest.approx([count(x) for x in OUTPUTS[:, 1].tolist()])
    assert vir_parameters(OUTPUTS.half()).mean.dtype == torch.float32


def test_uncertainties_of_predictions_are_finite_whatever_the_outputs() -> None:
    outputs = torch.tensor([[0.0, -1e4, -1e4], [0.0, 1e4, 1e4]], requires_grad=True)
    found = vir_parameters(outputs)
    assert (found.concentration >= 1.3).all()
    assert torch.isfinite(torch.stack((found.aleatoric, found.epistemic))).all()
    loss = vir_loss(outputs, torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1e-30]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()


def test_a_weight_makes_the_distribution_of_its_label_sharper() -> None:
    light, heavy = (vir_parameters(OUTPUTS[:1], torch.tensor([weight])) for weight in (1.0, 3.0))
    assert heavy.epistemic < light.epistemic
    losses = [vir_loss(OUTPUTS[:1], torch.tensor([label]), torch.tensor([3.0])) for label in (20.0, 30.0)]
    plain = [vir_loss(OUTPUTS[:1], torch.tensor([label])) for label in (20.0, 30.0)]
    assert losses[1] - losses[0] > plain[1] - plain[0]


def test_weights_do_not_multiply_the_loss() -> None:
    """What holds in the place of the check that the contract exempts: a weight is a factor of the pseudo-counts."""
    without, with_weights = (vir_parameters(OUTPUTS, weights, prior_evidence=0.1) for weights in (None, WEIGHTS))
    torch.testing.assert_close(with_weights.evidence - 0.1, WEIGHTS * (without.evidence - 0.1))
    assert torch.equal(with_weights.rate, without.rate)


def test_several_label_dimensions_are_averaged() -> None:
    outputs, labels = OUTPUTS.reshape(2, 2, 3), LABELS.reshape(2, 2)
    weights = torch.tensor([0.5, 2.0], dtype=torch.float64)
    expected = vir_loss(OUTPUTS, LABELS, weights.repeat_interleave(2), reduction="none").reshape(2, 2).mean(dim=1)
    torch.testing.assert_close(vir_loss(outputs, labels, weights, reduction="none"), expected)


def test_it_learns_mean_and_noise() -> None:
    """Two inputs whose labels spread by 1 and by 5: both become known."""
    torch.manual_seed(0)
    inputs = torch.eye(2).repeat(400, 1)
    labels = 3 + torch.tensor([1.0, 5.0]).repeat(400) * torch.randn(800)
    head = VIRHead(2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        VIR(coefficient=0)(head(inputs), labels).backward()
        optimizer.step()
    found = vir_parameters(head(torch.eye(2)))
    assert found.mean.tolist() == pytest.approx([3, 3], abs=0.6)
    # The variance of a new label: aleatoric and epistemic together.
    assert (found.aleatoric + found.epistemic).sqrt().tolist() == pytest.approx([1, 5], rel=0.35)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"expected shapes \(n, 3\) and \(n,\), or \(n, k, 3\) and \(n, k\), got"):
        vir_loss(torch.zeros(2, 4), torch.zeros(2))
    with pytest.raises(ValueError, match=r"outputs: expected shape \(..., 3\), got \(2, 4\)"):
        vir_parameters(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"weights: expected shape \(4,\), got \(3,\)"):
        vir_parameters(OUTPUTS, WEIGHTS[1:])
