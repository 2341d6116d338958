import copy
import math
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gaussian_kde
from tests.oracles.dense_weight import dense_weights
from torch import nn

from conr.density import Bins, DenseWeight
from conr.density.kde import distinct_labels, relative_density, rule_of_thumb

LABELS = torch.tensor([0.0, 0.0, 1.0, 4.0])


def test_four_samples_by_hand() -> None:
    """Bandwidth 1: densities 2 + e^-1/2 + e^-8, 1 + 2 e^-1/2 + e^-9/2 and 1 + 2 e^-8 + e^-9/2."""
    common, middle, rare = (
        2 + math.exp(-0.5) + math.exp(-8),
        1 + 2 * math.exp(-0.5) + math.exp(-4.5),
        1 + 2 * math.exp(-8) + math.exp(-4.5),
    )
    raw = [1 - 0.5, 1 - 0.5 * (middle - rare) / (common - rare), 1.0]
    mean = (2 * raw[0] + raw[1] + raw[2]) / 4
    density = DenseWeight(alpha=0.5, bandwidth=1.0).fit(LABELS)
    assert density.weights(torch.tensor([0.0, 1.0, 4.0])).tolist() == pytest.approx([w / mean for w in raw], rel=1e-4)
    assert density.weights(LABELS).mean() == pytest.approx(1, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 3)),
    alpha=st.sampled_from((0.0, 0.5, 1.0, 2.0)),
    bandwidth=st.sampled_from((None, 0.7)),
    grid=st.sampled_from((1.0, 0.01)),
)
def test_equals_its_oracle(
    seed: int, shape: tuple[int, int], alpha: float, bandwidth: float | None, grid: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = (6 * torch.rand(*shape, generator=generator, dtype=torch.float64) ** 2 / grid).floor() * grid
    asked = torch.cat((labels, 12 * torch.rand(5, shape[1], generator=generator, dtype=torch.float64) - 3))
    expected = dense_weights(asked.tolist(), labels.tolist(), alpha=alpha, bandwidth=bandwidth)
    found = DenseWeight(alpha=alpha, bandwidth=bandwidth).fit(labels).weights(asked)
    # The density is kept in float32, and interpolated between 4096 points: relative to the largest weight.
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-3, atol=1e-3 * max(expected))


def test_density_is_scipy_s() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randn(60, 1, generator=generator, dtype=torch.float64).round(decimals=1)
    points = torch.linspace(-2, 3, 17, dtype=torch.float64).unsqueeze(1)
    samples, shares = distinct_labels(labels)
    found = relative_density(points / 0.4, samples / 0.4, shares) / (0.4 * math.sqrt(2 * math.pi))
    kde = gaussian_kde(labels.flatten().numpy(), bw_method=0.4 / labels.std().item())
    assert found.tolist() == pytest.approx(kde(points.flatten().numpy()).tolist())
    scipy_rule = gaussian_kde(labels.flatten().numpy(), bw_method="silverman").factor * labels.std().item()
    assert rule_of_thumb(labels).item() == pytest.approx(scipy_rule)
    assert rule_of_thumb(labels).item() == pytest.approx(1.06 * labels.std().item() * 60**-0.2, rel=1e-3)


def test_rule_of_thumb_of_several_dimensions_is_silverman_s() -> None:
    labels = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factor = gaussian_kde(labels.T.numpy(), bw_method="silverman").factor
    torch.testing.assert_close(rule_of_thumb(labels), labels.std(dim=0) * factor)


def test_pieces_of_many_points_are_joined() -> None:
    points = torch.linspace(0, 9, 5000).unsqueeze(1)
    samples = torch.linspace(0, 9, 3000).unsqueeze(1)  # 15 million pairs
    shares = torch.full((3000,), 1 / 3000)
    found = relative_density(points, samples, shares)
    assert found.shape == (5000,)
    torch.testing.assert_close(found[4000:4002], relative_density(points[4000:4002], samples, shares))


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("bandwidth", [None, 0.5])
def test_equal_labels_weigh_one(k: int, n: int, bandwidth: float | None) -> None:
    density = DenseWeight(bandwidth=bandwidth).fit(torch.full((n, k), 7.0))
    assert density.weights(torch.tensor([[7.0] * k, [9.0] * k])).tolist() == [1, 1]


def test_equally_common_labels_weigh_one() -> None:
    """Two labels, or the corners of a square: densities differ by rounding only."""
    assert DenseWeight().fit(torch.tensor([0.1, 0.7])).weights(torch.tensor([0.1, 0.7])).tolist() == [1, 1]
    corners = torch.tensor([[0.1, 0.1], [0.1, 0.7], [0.7, 0.1], [0.7, 0.7]])
    assert DenseWeight().fit(corners).weights(corners).tolist() == [1, 1, 1, 1]


def test_a_dimension_of_equal_labels_does_not_count() -> None:
    both = torch.stack((LABELS, torch.full((4,), 3.0)), dim=1)
    found = DenseWeight(bandwidth=1.0).fit(both).weights(both)
    torch.testing.assert_close(found, DenseWeight(bandwidth=1.0).fit(LABELS).weights(LABELS), rtol=1e-4, atol=1e-4)


def test_duplicates_count_as_often_as_they_are_there() -> None:
    tripled = DenseWeight(alpha=0.5, bandwidth=1.0).fit(LABELS.repeat(3))
    once = DenseWeight(alpha=0.5, bandwidth=1.0).fit(LABELS)
    torch.testing.assert_close(tripled.weights(LABELS), once.weights(LABELS))


@pytest.mark.parametrize("k", [1, 2])
def test_a_second_fit_forgets_the_first(k: int) -> None:
    density = DenseWeight().fit(1000 * torch.randn(50, 3 - k, generator=torch.Generator().manual_seed(0)))
    labels = torch.randn(50, k, generator=torch.Generator().manual_seed(1))
    assert torch.equal(density.fit(labels).weights(labels), DenseWeight().fit(labels).weights(labels))


def test_labels_outside_weigh_as_the_nearest_inside() -> None:
    density = DenseWeight(alpha=0.5).fit(LABELS)
    outside = torch.tensor([-100.0, 0.0, 4.0, 100.0])
    assert density.weights(outside)[0] == density.weights(outside)[1]
    assert density.weights(outside)[2] == density.weights(outside)[3]


def test_common_labels_keep_the_smallest_weight() -> None:
    weights = DenseWeight(alpha=5.0, eps=0.01, bandwidth=0.3).fit(LABELS).weights(LABELS)
    assert (weights[0] / weights[3]).item() == pytest.approx(0.01)
    assert DenseWeight(alpha=0.0).fit(LABELS).weights(LABELS).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32])
@pytest.mark.parametrize("k", [1, 2])
def test_labels_of_any_type(dtype: torch.dtype, k: int) -> None:
    labels = LABELS.unsqueeze(1).repeat(1, k)
    labels[1, -1] = 2.0
    expected = DenseWeight().fit(labels).weights(labels)
    found = DenseWeight().fit(labels.to(dtype)).weights(labels.to(dtype))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_bins_are_accepted_and_not_needed() -> None:
    bins = Bins([0, 2, 5])
    assert torch.equal(DenseWeight().fit(LABELS, bins).weights(LABELS), DenseWeight().fit(LABELS).weights(LABELS))
    flat = DenseWeight().fit(LABELS).weights(LABELS)
    assert torch.equal(DenseWeight().fit(LABELS.unsqueeze(1)).weights(LABELS.unsqueeze(1)), flat)
    assert DenseWeight().fit(LABELS).weights(LABELS[:0]).shape == (0,)


def test_wrong_labels() -> None:
    for bad, message in ((LABELS[:0], "at least one label"), (LABELS * math.inf, "expected finite numbers, got")):
        density = DenseWeight()
        with pytest.raises(ValueError, match=message):
            density.fit(bad)
        with pytest.raises(RuntimeError, match="call fit"):
            density.weights(LABELS)
    density = DenseWeight().fit(LABELS)
    with pytest.raises(ValueError, match=r"expected finite numbers, got .* at position 1"):
        density.weights(torch.tensor([0.0, math.nan]))
    assert density.weights(torch.tensor([0.0, math.nan]), check=False).shape == (2,)
    with pytest.raises(ValueError, match=r"labels: expected 1 label dimension\(s\), got shape \(4, 2\)"):
        density.weights(torch.zeros(4, 2))
    with pytest.raises(TypeError, match=r"labels: expected a torch\.Tensor or a NumPy array, got list"):
        density.weights([0.0])  # type: ignore[arg-type]


def test_a_grid_too_coarse_for_the_bandwidth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"points: expected at least 8001, half a bandwidth apart .*, got 4096"):
        DenseWeight(bandwidth=0.001).fit(LABELS)
    DenseWeight(bandwidth=0.001, points=8001).fit(LABELS)
    DenseWeight(bandwidth=0.001).fit(LABELS.unsqueeze(1).repeat(1, 2))  # no grid


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -1.0}, "alpha: expected a number of at least 0, got -1.0"),
        ({"eps": 0.0}, "eps: expected a number above 0, got 0.0"),
        ({"bandwidth": 0.0}, "bandwidth: expected a number above 0, got 0.0"),
        ({"points": 1}, "points: expected a number of at least 2, got 1"),
    ],
)
def test_wrong_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseWeight(**arguments)


@pytest.mark.parametrize("k", [1, 2])
def test_tables_move_with_the_module_and_are_not_saved(k: int) -> None:
    labels = torch.randn(20, k, generator=torch.Generator().manual_seed(0))
    density = DenseWeight().fit(labels)
    assert density.state_dict() == {}
    for twin in (copy.deepcopy(density), pickle.loads(pickle.dumps(density))):  # noqa: S301  our own bytes
        assert torch.equal(twin.weights(labels), density.weights(labels))
    on_meta = nn.Sequential(density).to("meta")[0]
    assert isinstance(on_meta, DenseWeight)
    weights = on_meta.weights(torch.empty(5, k, device="meta"), check=False)
    assert weights.device.type == "meta"  # a read value would be an error there


def test_text_names_the_settings() -> None:
    assert repr(DenseWeight(alpha=0.5)) == "DenseWeight(alpha=0.5, eps=1e-06, bandwidth=None)"
