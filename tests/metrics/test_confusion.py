import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conr.losses import conr_loss
from conr.metrics import conr_confusion


def batch(seed: int, n: int, spread: float) -> dict[str, Any]:
    random = torch.Generator().manual_seed(seed)
    labels = (10 * torch.rand(n, generator=random, dtype=torch.float64)).round()
    return {
        "features": torch.randn(n, 4, generator=random, dtype=torch.float64) + spread,
        "labels": labels,
        "predictions": 5 + torch.randn(n, generator=random, dtype=torch.float64),
        "weights": 0.2 + 3 * torch.rand(n, generator=random, dtype=torch.float64),
    }


def by_loops(data: dict[str, Any], *, window: float, temperature: float, distance_scale: float, push: str) -> Any:
    features, labels, predictions, weights = (
        data[name].tolist() for name in ("features", "labels", "predictions", "weights")
    )
    plain, pushed = [], []
    for i, (y, p, w) in enumerate(zip(labels, predictions, weights, strict=True)):
        near, far, far_pushed = [], [], []
        for j in range(len(labels)):
            cosine = sum(a * b for a, b in zip(features[i], features[j], strict=True))
            cosine /= math.hypot(*features[i]) * math.hypot(*features[j])
            value, distance = math.exp(cosine / temperature), abs(y - labels[j])
            if distance <= window:
                near += [value] if j != i else []
            elif abs(p - predictions[j]) <= window:
                far.append(value)
                far_pushed.append(
                    value * w * (math.exp(distance_scale * distance) if push == "exp" else distance_scale * distance)
                )
        anchor = bool(near and far)
        plain.append(sum(far) / (sum(near) + sum(far)) if anchor else math.nan)
        pushed.append(sum(far_pushed) / (sum(near) + sum(far_pushed)) if anchor else math.nan)
    return plain, pushed


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 2**31), st.integers(1, 24), st.sampled_from((0.0, 1.0, 30.0))),
    window=st.sampled_from((0.5, 1.0, 3.0)),
    temperature=st.sampled_from((0.07, 0.5)),
    push=st.sampled_from(("exp", "linear")),
)
def test_probabilities_are_those_of_the_loops_and_never_above_their_bounds(
    shape: tuple[int, int, float], window: float, temperature: float, push: str
) -> None:
    data = batch(*shape)
    arguments: dict[str, Any] = {"window": window, "temperature": temperature, "distance_scale": 0.1, "push": push}
    found = conr_confusion(**data, **arguments)
    plain, pushed = by_loops(data, **arguments)
    assert found.confusion.tolist() == pytest.approx(plain, rel=1e-9, nan_ok=True)
    assert found.pushed.tolist() == pytest.approx(pushed, rel=1e-9, nan_ok=True)
    anchors = ~found.confusion.isnan()
    for value, bound in ((found.confusion, found.bound), (found.pushed, found.pushed_bound)):
        assert torch.equal(bound.isnan(), ~anchors)
        assert (value[anchors] <= bound[anchors] + 1e-9).all()
        assert (bound[anchors] <= 1).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), weight_anchors=st.booleans())
def test_the_loss_of_the_batch_bounds_the_mean_over_any_anchors(seed: int, weight_anchors: bool) -> None:
    """Weighted mean over the rarest anchors <= 1 - exp(-(n L - sum a log|P|) / sum a), as the documentation derives."""
    data = batch(seed, 20, 1.0)
    arguments: dict[str, Any] = {"window": 1.0, "temperature": 0.2, "distance_scale": 0.1}
    found = conr_confusion(**data, **arguments)
    anchors = ~found.pushed.isnan()
    if not anchors.any():
        return
    loss = conr_loss(**data, **arguments, weight_anchors=weight_anchors)
    a = data["weights"] if weight_anchors else torch.ones(20, dtype=torch.float64)
    positives = ((data["labels"][:, None] - data["labels"]).abs() <= 1).sum(1) - 1
    room = 20 * loss - (a * positives.double().log())[anchors].sum()
    rare = anchors & (data["weights"] >= data["weights"][anchors].median())
    mean = (a * found.pushed)[rare].sum() / a[rare].sum()
    assert mean <= 1 - torch.exp(-room / a[rare].sum()) + 1e-9


def test_bounds_are_reached_where_keys_are_alike() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    labels, predictions = torch.tensor([1.0, 1.0, 1.0, 9.0]), torch.full((4,), 5.0)
    found = conr_confusion(features, labels, predictions, window=1.0, temperature=0.5, weights=torch.full((4,), 2.0))
    expected = 1 / (1 + 2 * math.exp(2))
    assert found.confusion[:3].tolist() == pytest.approx([expected] * 3)
    assert found.bound[:3].tolist() == pytest.approx([expected] * 3)
    assert found.pushed_bound.tolist() == pytest.approx(found.pushed.tolist(), nan_ok=True)
    assert found.confusion[3].isnan()


def test_a_push_above_one_makes_the_bound_stricter() -> None:
    """Of equal losses: r / (r + m) falls with the least push m, which is at least the weight of the anchor."""
    data = batch(3, 24, 1.0)
    data["weights"] = torch.full((24,), 10.0, dtype=torch.float64)
    found = conr_confusion(**data, window=1.0, temperature=0.5)
    anchors = ~found.bound.isnan()
    assert anchors.any()
    ratio = found.pushed_bound / (1 - found.pushed_bound)
    assert (found.bound[anchors] <= (ratio / (ratio + 10))[anchors] + 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_extreme_inputs_stay_finite(dtype: torch.dtype) -> None:
    features = torch.cat([torch.full((4, 8), 100.0), torch.full((4, 8), -100.0)]).to(dtype)
    labels = torch.tensor([0.0, 0.0, 90.0, 90.0] * 2)
    found = conr_confusion(features, labels, torch.zeros(8), window=1.0, temperature=0.01, distance_scale=1.0)
    assert all(part.isfinite().all() and part.dtype == torch.float32 for part in found)
    assert not found.confusion.requires_grad


def test_no_samples_and_wrong_arguments() -> None:
    empty = conr_confusion(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0), window=1.0)
    assert empty.confusion.shape == (0,)
    with pytest.raises(ValueError, match="window: expected a number above 0"):
        conr_confusion(torch.zeros(2, 3), torch.zeros(2), torch.zeros(2), window=0.0)
    with pytest.raises(ValueError, match="labels: expected 2 samples like features, got 3"):
        conr_confusion(torch.zeros(2, 3), torch.zeros(3), torch.zeros(2), window=1.0)
