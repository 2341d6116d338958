import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from tests.contracts.batches import Batch, batches, make_batch
from tests.tolerances import TOLERANCE
from torch import Tensor

from conr import ConRLoss, conr_loss, conr_statistics
from conr.losses import image_means

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "conr_released_code.json").read_text())["cases"]


@pytest.mark.parametrize("case", GOLDEN, ids=[f"{case['variant']}-{i}" for i, case in enumerate(GOLDEN)])
def test_reference_reproduces_the_released_numbers(case: dict[str, Any]) -> None:
    features = torch.tensor(case["features"], dtype=torch.float64, requires_grad=True)
    labels, predictions, weights = (
        torch.tensor(case[name], dtype=torch.float64) for name in ("labels", "predictions", "weights")
    )
    if case["variant"] == "depth":
        labels, predictions, weights = (image_means(dense) for dense in (labels, predictions, weights))
    loss = conr_loss(
        features.flatten(1),
        labels,
        predictions,
        weights=weights,
        window=case["window"],
        temperature=case["temperature"],
        distance_scale=case["distance_scale"],
        push={"age": "exp", "depth": "linear"}[case["variant"]],
        reference=True,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(
        loss.detach(), torch.tensor(case["loss"], dtype=torch.float64), **TOLERANCE[torch.float64]
    )
    expected = torch.tensor(case["grad_features"], dtype=torch.float64)
    torch.testing.assert_close(features.grad, expected, **TOLERANCE[torch.float64])


def test_golden_cases_cover_both_variants() -> None:
    assert {case["variant"] for case in GOLDEN} == {"age", "depth"}


def test_four_samples_by_hand() -> None:
    """Anchor 0: positive 1 (cos 0.8), negative 2 (cos 0.0, distance 30).

    Anchor 1: positive 0, negative 2 (cos 0.6, distance 29). Anchor 2: positive 3 (cos 0.8), negatives 0 and 1. Sample 3
    predicts as nobody else does, so it is no anchor.
    """
    features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    labels = torch.tensor([10.0, 11.0, 40.0, 41.0], dtype=torch.float64)
    predictions = torch.tensor([12.0, 12.5, 13.0, 40.0], dtype=torch.float64)
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
    tau, scale = 0.5, 0.01

    def term(weight: float, positive: float, negatives: list[tuple[float, float]]) -> float:
        pushed = sum(weight * math.exp(scale * distance) * math.exp(cos / tau) for cos, distance in negatives)
        return weight * (math.log(math.exp(positive / tau) + pushed) - positive / tau)

    expected = [
        term(0.5, 0.8, [(0.0, 30.0)]),
        term(1.0, 0.8, [(0.6, 29.0)]),
        term(2.0, 0.8, [(0.0, 30.0), (0.6, 29.0)]),
        0.0,
    ]
    settings_: dict[str, Any] = {"window": 1.0, "temperature": tau, "distance_scale": scale, "weights": weights}
    terms = conr_loss(features, labels, predictions, reduction="none", **settings_)
    torch.testing.assert_close(terms, torch.tensor(expected, dtype=torch.float64))
    assert conr_loss(features, labels, predictions, **settings_).item() == pytest.approx(sum(expected) / 4)


@settings(max_examples=50, deadline=None)
@given(batch=batches((1,)))
def test_shapes_of_one_label_dimension_are_equivalent(batch: Batch) -> None:
    flat = conr_loss(batch.features, batch.labels.squeeze(1), batch.predictions.squeeze(1), window=1.0)
    column = conr_loss(
        batch.features, batch.labels, batch.predictions, window=1.0, weights=torch.ones(len(batch.labels), 1)
    )
    assert torch.equal(flat, column)


def test_scale_of_features_does_not_matter() -> None:
    batch = make_batch(1)
    loss = conr_loss(batch.features, batch.labels, batch.predictions, window=1.0)
    torch.testing.assert_close(conr_loss(1000 * batch.features, batch.labels, batch.predictions, window=1.0), loss)


def test_constant_weights_enter_the_push_and_the_anchor() -> None:
    """With all weights c, S becomes c times as large; with weight_anchors the whole term is also multiplied by c."""
    batch = make_batch(1)
    arguments = (batch.features, batch.labels, batch.predictions)
    constant = torch.full((16,), 3.0, dtype=torch.float64)
    plain = conr_loss(*arguments, window=1.0, weights=constant, weight_anchors=False)
    torch.testing.assert_close(conr_loss(*arguments, window=1.0, weights=constant), 3 * plain)
    pushed = conr_loss(*arguments, window=1.0, push=lambda scaled: 3 * scaled.exp(), weight_anchors=False)
    torch.testing.assert_close(plain, pushed)


def test_a_given_push_and_distance_equal_the_named_ones() -> None:
    batch = make_batch(2, k=2)

    def manhattan(first: Tensor, second: Tensor) -> Tensor:
        return (first.unsqueeze(1) - second.unsqueeze(0)).abs().sum(2)

    given_ = conr_loss(*batch[:3], window=1.0, push=torch.exp, distance=manhattan)
    torch.testing.assert_close(given_, conr_loss(*batch[:3], window=1.0, push="exp", distance="l1"))


def test_integer_labels_are_taken_as_they_are() -> None:
    batch = make_batch(3)
    loss = conr_loss(batch.features, batch.labels.long(), batch.predictions, window=1.0)
    assert torch.equal(loss, conr_loss(batch.features, batch.labels, batch.predictions, window=1.0))


def test_descending_the_loss_separates_what_the_predictions_confuse() -> None:
    labels = torch.tensor([0.0, 0.5, 50.0, 50.5])
    predictions = torch.full((4,), 20.0)
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for _ in range(200):
        (slope,) = torch.autograd.grad(conr_loss(features, labels, predictions, window=1.0, temperature=0.5), features)
        features = (features - 0.5 * slope).detach().requires_grad_()
    unit = torch.nn.functional.normalize(features.detach(), dim=1)
    cosines = unit @ unit.T
    assert cosines[0, 1] > 0.95
    assert cosines[2, 3] > 0.95
    assert cosines[:2, 2:].max() < -0.5


GOOD: dict[str, Any] = {
    "features": torch.zeros(4, 3),
    "labels": torch.zeros(4),
    "predictions": torch.zeros(4),
    "window": 1.0,
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": torch.zeros(4)}, ValueError, r"features: expected shape \(n, d\), got \(4,\)"),
        (
            {"features": torch.zeros(4, 3, dtype=torch.long)},
            TypeError,
            "features: expected a floating-point dtype, got",
        ),
        ({"features": [[1.0]]}, TypeError, "features: expected a torch.Tensor, got list"),
        ({"labels": torch.zeros(5)}, ValueError, "labels: expected 4 samples like features, got 5"),
        ({"labels": torch.zeros(4, 1, 1)}, ValueError, r"labels: expected shape \(n,\) or \(n, k\), got \(4, 1, 1\)"),
        ({"labels": torch.zeros(4, dtype=torch.bool)}, TypeError, "labels: expected real numbers, got torch.bool"),
        ({"labels": torch.zeros(4, 2)}, ValueError, r"predictions: expected shape \(4, 2\) like labels, got \(4, 1\)"),
        ({"predictions": torch.zeros(3)}, ValueError, "predictions: expected 4 samples like features, got 3"),
        ({"weights": torch.ones(3)}, ValueError, r"weights: expected shape \(4,\), got \(3,\)"),
        ({"weights": torch.ones(4, dtype=torch.long)}, TypeError, "weights: expected a floating-point dtype, got"),
        ({"labels": torch.zeros(4, device="meta")}, ValueError, "labels: expected device cpu like the other inputs"),
        ({"window": 0.0}, ValueError, "window: expected a number above 0, got 0.0"),
        ({"window": math.nan}, ValueError, "window: expected a finite number, got nan"),
        ({"window": "1"}, TypeError, "window: expected a number, got str"),
        ({"temperature": -0.1}, ValueError, "temperature: expected a number above 0, got -0.1"),
        ({"distance_scale": -1.0}, ValueError, "distance_scale: expected a number of at least 0, got -1.0"),
        (
            {"distance": "l3"},
            ValueError,
            "distance: expected one of 'l1', 'l2', 'linf', 'angular', got 'l3'; did you mean",
        ),
        ({"distance": "angular"}, ValueError, r"'angular' expects labels \(n, 2\) of pitch and yaw, got k = 1"),
        ({"distance": lambda a, _: a}, ValueError, r"distance: expected shape \(4, 4\) from the given function"),
        ({"push": "expp"}, ValueError, "push: expected one of 'exp', 'linear', got 'expp'; did you mean 'exp'"),
        ({"push": lambda scaled: scaled[0]}, ValueError, r"push: expected shape \(4, 4\) from the given function"),
        ({"push": torch.exp, "reference": True}, ValueError, "reference: expected push 'exp' or 'linear'"),
        ({"reduction": "average"}, ValueError, "reduction: expected one of 'mean', 'sum', 'none', got 'average'"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        conr_loss(**GOOD | change)


@pytest.mark.parametrize(
    "change", [{"window": 0.0}, {"temperature": 0.0}, {"push": "no"}, {"distance": "no"}, {"reduction": "no"}]
)
def test_the_module_checks_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ConRLoss(**{"window": 1.0} | change)


def test_the_module_prints_its_hyperparameters() -> None:
    assert "window=2.0" in repr(ConRLoss(window=2.0))


@settings(max_examples=50, deadline=None)
@given(batch=batches((1, 2)))
def test_statistics_count_what_a_loop_counts(batch: Batch) -> None:
    n = len(batch.labels)
    regions = torch.arange(n) % 3
    found = conr_statistics(batch.labels, batch.predictions, window=1.0, regions=regions, num_regions=3)
    positives, negatives = [0] * n, [0] * n
    agreeing, colliding = [0] * 3, [0] * 3
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            alike = math.dist(batch.labels[i].tolist(), batch.labels[j].tolist()) <= 1
            agree = math.dist(batch.predictions[i].tolist(), batch.predictions[j].tolist()) <= 1
            positives[i] += alike
            negatives[i] += agree and not alike
            agreeing[i % 3] += agree
            colliding[i % 3] += agree and not alike
    assert found.positives.tolist() == positives
    assert found.negatives.tolist() == negatives
    assert found.anchors.item() == sum(p > 0 and q > 0 for p, q in zip(positives, negatives, strict=True))
    assert found.agreeing.tolist() == agreeing
    assert found.colliding.tolist() == colliding
    for share, total, part in zip(found.collapse.tolist(), agreeing, colliding, strict=True):
        assert math.isnan(share) if total == 0 else share == pytest.approx(part / total)


def test_statistics_refuse_bad_input() -> None:
    with pytest.raises(ValueError, match=r"regions: expected integers of shape \(3,\), got torch.int64 of \(2,\)"):
        conr_statistics(torch.zeros(3), torch.zeros(3), window=1.0, regions=torch.zeros(2, dtype=torch.long))
    with pytest.raises(TypeError, match=r"labels: expected a torch\.Tensor, got list"):
        conr_statistics([0.0], torch.zeros(1), window=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="predictions: expected 3 samples"):
        conr_statistics(torch.zeros(3), torch.zeros(2), window=1.0)


@pytest.mark.parametrize("engine", ["dense", "blockwise", "windowed"])
def test_whole_numbers_beyond_float32_are_exact(engine: str) -> None:
    generator = torch.Generator().manual_seed(0)
    features, seconds = torch.randn(30, 4, generator=generator), torch.randint(0, 40, (30,), generator=generator)
    settings = {"window": 3.0, "temperature": 0.5, "engine": engine}
    expected = conr_loss(features, seconds, torch.zeros_like(seconds), **settings)  # type: ignore[arg-type]
    found = conr_loss(features, seconds + 2**40, torch.zeros_like(seconds), **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)


def test_what_nothing_can_be_computed_of_is_refused() -> None:
    features, labels = torch.randn(4, 3), torch.arange(4.0)
    with pytest.raises(ValueError, match="features: expected at least one column"):
        conr_loss(features[:, :0], labels, labels, window=1.0, temperature=0.1)
    with pytest.raises(TypeError, match="features: expected at least 16 bits"):
        conr_loss(features.to(torch.float8_e4m3fn), labels, labels, window=1.0, temperature=0.1)
    with pytest.raises(ValueError, match="temperature: expected a number of at least 1e-37"):
        conr_loss(features, labels, labels, window=1.0, temperature=1e-40)
