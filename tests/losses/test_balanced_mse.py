import math
from typing import Any

import pytest
import torch
from torch import Tensor

import conr._extras
from conr.density import Bins
from conr.losses import BMC, BNI, GAI, bmc_loss, bni_loss, gai_loss

LABELS = torch.tensor([0.0, 0.0, 2.0, 3.0], dtype=torch.float64)
PREDICTIONS = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 0.5], dtype=torch.float64)
MIXTURE = {
    "masses": torch.tensor([0.75, 0.25], dtype=torch.float64),
    "means": torch.tensor([[0.0], [3.0]], dtype=torch.float64),
    "covariances": torch.tensor([[[3.0]], [[0.0]]], dtype=torch.float64),
}
HISTOGRAM = {"masses": MIXTURE["masses"], "centers": MIXTURE["means"]}


def e(exponent: float) -> float:
    return math.exp(exponent)


@pytest.mark.parametrize(
    ("noise_scale", "expected"),
    [
        (
            1.0,  # exponents are minus half the squared distances from a prediction to all four labels
            [
                2 * (0.0 + math.log(2 + e(-2) + e(-4.5))),
                2 * (0.5 + math.log(2 * e(-0.5) + e(-0.5) + e(-2))),
                2 * (0.0 + math.log(2 * e(-2) + 1 + e(-0.5))),
                2 * (0.5 + math.log(2 * e(-8) + e(-2) + e(-0.5))),
            ],
        ),
        (
            2.0,
            [
                8 * (0.0 + math.log(2 + e(-0.5) + e(-1.125))),
                8 * (0.125 + math.log(3 * e(-0.125) + e(-0.5))),
                8 * (0.0 + math.log(2 * e(-0.5) + 1 + e(-0.125))),
                8 * (0.125 + math.log(2 * e(-2) + e(-0.5) + e(-0.125))),
            ],
        ),
    ],
)
def test_bmc_of_four_samples_by_hand(noise_scale: float, expected: list[float]) -> None:
    losses = bmc_loss(PREDICTIONS, LABELS, noise_scale=noise_scale, reduction="none")
    assert losses.tolist() == pytest.approx(expected)
    weighted = sum(weight * loss for weight, loss in zip(WEIGHTS.tolist(), expected, strict=True))
    assert BMC(noise_scale=noise_scale)(PREDICTIONS, LABELS, WEIGHTS).item() == pytest.approx(weighted / 4)


def test_gai_of_four_samples_by_hand() -> None:
    """Noise of variance 1 widens the variances 3 and 0 of the components to 4 and 1."""
    expected = [
        2 * (0.0 + math.log(0.75 / 2 + 0.25 * e(-4.5))),
        2 * (0.5 + math.log(0.75 / 2 * e(-1 / 8) + 0.25 * e(-2))),
        2 * (0.0 + math.log(0.75 / 2 * e(-4 / 8) + 0.25 * e(-0.5))),
        2 * (0.5 + math.log(0.75 / 2 * e(-16 / 8) + 0.25 * e(-0.5))),
    ]
    losses = gai_loss(PREDICTIONS, LABELS, noise_scale=1.0, **MIXTURE, reduction="none")
    assert losses.tolist() == pytest.approx(expected)


def test_bni_of_four_samples_by_hand() -> None:
    expected = [
        2 * (0.0 + math.log(0.75 + 0.25 * e(-4.5))),
        2 * (0.5 + math.log(0.75 * e(-0.5) + 0.25 * e(-2))),
        2 * (0.0 + math.log(0.75 * e(-2) + 0.25 * e(-0.5))),
        2 * (0.5 + math.log(0.75 * e(-8) + 0.25 * e(-0.5))),
    ]
    losses = bni_loss(PREDICTIONS, LABELS, noise_scale=1.0, **HISTOGRAM, reduction="none")
    assert losses.tolist() == pytest.approx(expected)
    assert losses[0] < 0  # as documented


@pytest.mark.parametrize("k", [1, 2])
def test_the_three_forms_agree_where_they_must(k: int) -> None:
    """A histogram is a mixture without covariances, and a batch is a histogram of its own labels."""
    generator = torch.Generator().manual_seed(0)
    predictions, labels = torch.randn(2, 7, k, generator=generator, dtype=torch.float64)
    even = torch.full((7,), 1 / 7, dtype=torch.float64)
    by_batch = bmc_loss(predictions, labels, noise_scale=0.6, reduction="none")
    by_bins = bni_loss(predictions, labels, noise_scale=0.6, masses=even, centers=labels, reduction="none")
    flat = {"masses": even, "means": labels, "covariances": torch.zeros(7, k, k, dtype=torch.float64)}
    by_mixture = gai_loss(predictions, labels, noise_scale=0.6, **flat, reduction="none")
    torch.testing.assert_close(by_bins, by_mixture)
    torch.testing.assert_close(by_bins, by_batch - 2 * 0.6**2 * math.log(7))


def test_much_noise_takes_back_the_pull_to_the_mean() -> None:
    """One Gaussian of labels: the gradient is that of MSE, plus a push of its size away from the mean."""
    predictions = PREDICTIONS.clone().requires_grad_()
    mixture = {
        "masses": torch.ones(1, dtype=torch.float64),
        "means": torch.full((1, 1), 1.5, dtype=torch.float64),
        "covariances": torch.full((1, 1, 1), 3.0, dtype=torch.float64),
    }
    gai_loss(predictions, LABELS, noise_scale=2.0, **mixture, reduction="sum").backward()  # type: ignore[no-untyped-call]
    expected = 2 * (PREDICTIONS - LABELS) - 2 * 4 / (3 + 4) * (PREDICTIONS - 1.5)
    torch.testing.assert_close(predictions.grad, expected)


@pytest.mark.parametrize("criterion", [BMC(noise_scale=1.3), GAI(noise_scale=1.3), BNI(noise_scale=1.3)])
def test_the_gradient_of_the_noise_scale_leaves_out_its_factor(criterion: BMC | GAI | BNI) -> None:
    """Of 2 sigma^2 * term, only the term depends on sigma for the gradient."""
    if not isinstance(criterion, BMC):
        criterion.fit(LABELS, Bins([0, 1, 2, 3, 4]))
    criterion.double()
    parameter = criterion.noise_scale.log
    log = parameter.detach().clone()

    def term(log: Tensor) -> Tensor:
        parameter.data = log
        return torch.as_tensor(criterion(PREDICTIONS, LABELS).detach() / (2 * (2 * log).exp()))

    slope = (term(log + 1e-5) - term(log - 1e-5)) / 2e-5
    term(log)
    criterion(PREDICTIONS, LABELS).backward()
    torch.testing.assert_close(parameter.grad, slope * 2 * (2 * log).exp(), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("learn", [True, False])
def test_the_noise_scale_is_learned_in_log_space_or_fixed(learn: bool) -> None:
    criterion = BMC(noise_scale=2.0, learn_noise_scale=learn)
    assert criterion.noise_scale().item() == pytest.approx(2)
    optimizer = torch.optim.SGD(criterion.parameters(), lr=5.0)
    (criterion(PREDICTIONS.requires_grad_(), LABELS)).backward()
    optimizer.step()
    scale = criterion.noise_scale().item()
    assert scale > 0
    assert (scale == pytest.approx(2)) is not learn
    fresh = BMC(noise_scale=1.0)
    fresh.load_state_dict(criterion.state_dict())
    assert fresh.noise_scale().item() == scale


def test_drawn_candidates_do_not_change_the_expected_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    predictions, labels = torch.randn(2, 6, generator=generator, dtype=torch.float64)

    def sums(candidates: int | None) -> Tensor:
        losses = bmc_loss(predictions, labels, noise_scale=1.0, candidates=candidates, reduction="none")
        return torch.exp(losses / 2 - (predictions - labels).square() / 2)

    torch.manual_seed(0)
    mean = torch.stack([sums(2) for _ in range(1500)]).mean(dim=0)
    torch.testing.assert_close(mean, sums(None), rtol=0.04, atol=0)
    assert not torch.equal(sums(2), sums(2))
    for all_of_them in (6, 60):
        assert torch.equal(sums(all_of_them), sums(None))


def test_a_single_candidate_may_be_the_sample_itself() -> None:
    torch.manual_seed(0)
    losses = bmc_loss(PREDICTIONS, LABELS, noise_scale=1.0, candidates=1, reduction="none")
    assert torch.isfinite(losses).all()
    assert (losses == 0).sum() == 1  # the one that was drawn has nothing to be told from


def test_mixture_of_two_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(300, generator=generator), 20 + 2 * torch.randn(100, generator=generator)
    labels = torch.cat((right, left))
    criterion = GAI(noise_scale=1.0, components=2).fit(labels)
    assert criterion.masses is not None
    assert criterion.means is not None
    assert criterion.covariances is not None
    assert criterion.masses.tolist() == pytest.approx([0.75, 0.25], abs=1e-4)
    assert criterion.means.flatten().tolist() == pytest.approx([left.mean().item(), right.mean().item()], abs=1e-3)
    variances = [left.var(correction=0).item(), right.var(correction=0).item()]
    assert criterion.covariances.flatten().tolist() == pytest.approx(variances, rel=1e-3)
    scaled = GAI(noise_scale=1.0, components=2).fit(labels * 1e-4 + 7)
    torch.testing.assert_close(scaled.means, criterion.means * 1e-4 + 7, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scaled.covariances, criterion.covariances * 1e-8, rtol=1e-2, atol=0)
    assert scaled.masses is not None
    assert scaled.masses.dtype == torch.float32


def test_fewer_distinct_labels_than_components() -> None:
    criterion = GAI(noise_scale=1.0).fit(torch.tensor([1, 1, 1, 5]))
    assert criterion.means is not None
    assert criterion.masses is not None
    assert criterion.means.flatten().tolist() == pytest.approx([1, 5])
    assert criterion.masses.tolist() == pytest.approx([0.75, 0.25])


def test_histogram_of_the_training_labels() -> None:
    """Centers are means of labels, in bins of one and of two label dimensions; empty bins are left out."""
    criterion = BNI(noise_scale=1.0).fit(torch.tensor([10, 10, 11, 13, 14]), Bins([10, 12, 13, 20]))
    assert criterion.centers is not None
    assert criterion.masses is not None
    assert criterion.centers.tolist() == [[pytest.approx(31 / 3)], [13.5]]
    assert criterion.masses.tolist() == pytest.approx([0.6, 0.4])
    labels = torch.tensor([[0.0, 5.0], [1.0, 9.0], [0.0, 7.0]])
    criterion.fit(labels, Bins([[0, 1, 2], [0, 8, 10]]))
    assert criterion.centers.tolist() == [[0, 6], [1, 9]]
    assert criterion.masses.tolist() == pytest.approx([2 / 3, 1 / 3])
    with pytest.raises(ValueError, match="labels: expected numbers in"):
        criterion.fit(labels + 10, Bins([[0, 1, 2], [0, 8, 10]]))


def test_a_missing_scikit_learn_is_answered_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conr._extras, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"GAI.fit needs sklearn, not installed here: pip install 'conr\[train\]'"):
        GAI(noise_scale=1.0).fit(LABELS)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="candidates: expected a number of at least 1, got 0"):
        bmc_loss(PREDICTIONS, LABELS, noise_scale=1.0, candidates=0)
    with pytest.raises(ValueError, match="noise_scale: expected a number above 0, got -1"):
        bmc_loss(PREDICTIONS, LABELS, noise_scale=-1)
    with pytest.raises(ValueError, match=r"noise_scale: expected a number or a scalar tensor, got shape \(2,\)"):
        bmc_loss(PREDICTIONS, LABELS, noise_scale=torch.ones(2))
    with pytest.raises(ValueError, match="noise_scale: expected device cpu"):
        bmc_loss(PREDICTIONS, LABELS, noise_scale=torch.ones((), device="meta"))


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("masses", torch.ones(0), r"masses: expected shape \(m\), got \(0,\)"),
        ("masses", [1.0], r"masses: expected a torch.Tensor, got list"),
        ("means", torch.ones(2, 2), r"means: expected shape \(2, 1\), got \(2, 2\)"),
        ("means", torch.ones(2, 1).long(), r"means: expected a floating-point dtype, got torch.int64"),
        ("covariances", torch.ones(2, 1), r"covariances: expected shape \(2, 1, 1\), got \(2, 1\)"),
        ("covariances", torch.ones(2, 1, 1, device="meta"), r"covariances: expected device cpu"),
    ],
)
def test_wrong_tables_of_a_mixture(table: str, value: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        gai_loss(PREDICTIONS, LABELS, noise_scale=1.0, **MIXTURE | {table: value})


def test_wrong_tables_of_a_histogram() -> None:
    with pytest.raises(ValueError, match=r"masses: expected shape \(b\), got \(2, 1\)"):
        bni_loss(PREDICTIONS, LABELS, noise_scale=1.0, masses=torch.ones(2, 1), centers=torch.ones(2, 1))
    with pytest.raises(ValueError, match=r"centers: expected shape \(2, 1\), got \(3, 1\)"):
        bni_loss(PREDICTIONS, LABELS, noise_scale=1.0, masses=torch.ones(2), centers=torch.ones(3, 1))
