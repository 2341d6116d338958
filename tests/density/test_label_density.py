import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve1d, gaussian_filter1d
from torch import Tensor, nn

from conr.density import REGIONS, Bins, LabelDensity

BINS = Bins([0, 1, 2, 3, 4])
LABELS = torch.tensor([0.5] * 4 + [1.0] * 9 + [3.9])  # 4 9 0 1 samples


def weights_of_bins(density: LabelDensity) -> list[float]:
    assert density.bins is not None
    centers = density.bins.centers
    return density.weights(centers).tolist()


@pytest.mark.parametrize(
    ("settings", "unscaled"),
    [
        ({}, [1, 1, 1, 1]),
        ({"scheme": "inverse"}, [1 / 4, 1 / 9, 1, 1]),  # the empty third bin gets the weight of the rarest
        ({"scheme": "sqrt_inverse"}, [1 / 2, 1 / 3, 1, 1]),
        ({"scheme": "inverse", "clip": (2, 5)}, [1 / 4, 1 / 5, 1 / 2, 1 / 2]),
        ({"scheme": "power", "power": 2.0}, [1 / 16, 1 / 81, 1, 1]),
        ({"scheme": "power", "power": 0.0}, [1, 1, 1, 1]),
        # effective numbers 1.875 of 4, 1.996 of 9 and 1 of 1
        ({"scheme": "effective_number", "beta": 0.5}, [1 / 1.875, 1 / 1.99609375, 1, 1]),
        ({"scheme": "effective_number", "beta": 0.0}, [1, 1, 1, 1]),
        # the triangular kernel 0.5 1 0.5 over these
        (
            {"scheme": "effective_number", "beta": 0.5, "kernel": "triangular", "kernel_size": 3},
            [1 / 2.873046875, 1 / 2.93359375, 1 / 1.498046875, 1],
        ),
        # triangular kernel 0.5 1 0.5 over 2 3 0 1, zeros outside
        (
            {"scheme": "sqrt_inverse", "kernel": "triangular", "kernel_size": 3},
            [1 / 3.5, 1 / 4, 1 / 2, 1],
        ),
        # the same over 2 | 2 3 0 1 | 1
        (
            {"scheme": "sqrt_inverse", "kernel": "triangular", "kernel_size": 3, "boundary": "reflect"},
            [1 / 4.5, 1 / 4, 1 / 2, 1 / 1.5],
        ),
        # clipped to 4 5 2 2 before smoothing
        (
            {"scheme": "inverse", "clip": (2, 5), "kernel": "triangular", "kernel_size": 3},
            [1 / 6.5, 1 / 8, 1 / 5.5, 1 / 3],
        ),
    ],
)
def test_weights_by_hand(settings: dict[str, Any], unscaled: list[float]) -> None:
    density = LabelDensity(BINS, **settings).fit(LABELS)
    mean = (4 * unscaled[0] + 9 * unscaled[1] + unscaled[3]) / 14
    assert weights_of_bins(density) == pytest.approx([weight / mean for weight in unscaled], rel=1e-6)
    assert density.counts.tolist() == [4, 9, 0, 1]


def test_a_bin_that_stays_empty_gets_the_largest_weight_of_a_bin_with_samples() -> None:
    """Smoothed 8 4 0 1 2 1: the bins beside the last samples are emptier than theirs, the third stays empty."""
    labels = torch.tensor([0.5] * 8 + [4.5] * 2)
    bins = Bins(range(7))
    density = LabelDensity(bins, scheme="inverse", kernel="triangular", kernel_size=3).fit(labels)
    weights = np.array(weights_of_bins(density))
    assert weights / weights[0] == pytest.approx([1, 2, 4, 8, 4, 8], rel=1e-6)


def test_effective_number_comes_close_to_inverse() -> None:
    """Where a bin has room for many more samples than it holds, all of them are different."""
    close = LabelDensity(BINS, scheme="effective_number", beta=1 - 1e-8).fit(LABELS)
    assert weights_of_bins(close) == pytest.approx(
        weights_of_bins(LabelDensity(BINS, scheme="inverse").fit(LABELS)), rel=1e-6
    )


@pytest.mark.parametrize(("power", "scheme"), [(1.0, "inverse"), (0.5, "sqrt_inverse"), (0.0, "none")])
def test_powers_join_the_schemes(power: float, scheme: str) -> None:
    by_power = LabelDensity(BINS, scheme="power", power=power).fit(LABELS)
    assert weights_of_bins(by_power) == pytest.approx(weights_of_bins(LabelDensity(BINS, scheme=scheme).fit(LABELS)))


@pytest.mark.parametrize("scheme", ["inverse", "sqrt_inverse"])
@pytest.mark.parametrize("kernel", [None, "gaussian"])
def test_ages_as_in_the_benchmarks(scheme: str, kernel: str | None) -> None:
    """The published recipe by loops: 121 bins of a year, the last also for older people; clip or root, then smooth."""
    random = np.random.default_rng(0)
    ages = np.concatenate([random.normal(35, 12, 3000).clip(1, 101).astype(int), [120, 131, 186]])
    counts = [0] * 121
    for age in ages:
        counts[min(age, 120)] += 1
    assert max(counts) > 80  # so that the clip below matters
    clip = (5.0, 80.0) if scheme == "inverse" else None
    values = [math.sqrt(count) if clip is None else min(max(count, clip[0]), clip[1]) for count in counts]
    if kernel is not None:
        window = gaussian_filter1d([0.0, 0.0, 1.0, 0.0, 0.0], sigma=2)
        values = [
            sum(window[step + 2] / max(window) * values[b + step] for step in range(-2, 3) if 0 <= b + step < 121)
            for b in range(121)
        ]
    raw = [1 / values[min(age, 120)] for age in ages]
    expected = [weight * len(ages) / sum(raw) for weight in raw]

    bins = Bins.by_width(width=1, low=0, high=121, clamp=True)
    density = LabelDensity(bins, scheme=scheme, clip=clip, kernel=kernel, kernel_size=5, sigma=2.0)
    weights = density.fit(torch.from_numpy(ages)).weights(torch.from_numpy(ages))
    assert weights.tolist() == pytest.approx(expected, rel=1e-6)
    assert density.counts.tolist() == counts


@pytest.mark.parametrize(("boundary", "mode"), [("zero", "constant"), ("reflect", "reflect")])
@pytest.mark.parametrize("size", [1, 3, 7, 9])  # 9 reaches beyond the reflection of 3 bins
def test_smoothing_is_separable_over_label_dimensions(boundary: str, mode: str, size: int) -> None:
    random = np.random.default_rng(size)
    labels = np.stack([random.uniform(0, 3, 200), random.uniform(0, 5, 200) ** 2 / 5], axis=1)
    bins = Bins([range(4), range(6)])
    density = LabelDensity(bins, scheme="inverse", kernel="laplace", kernel_size=size, sigma=1.5, boundary=boundary)
    density.fit(torch.from_numpy(labels))

    counts = np.zeros((3, 5))
    for first, second in labels:
        counts[int(first), int(second)] += 1
    assert density.counts.tolist() == counts.tolist()
    offsets = np.arange(size) - size // 2
    window = np.exp(-np.abs(offsets) / 1.5)
    smooth = convolve1d(convolve1d(counts, window, axis=0, mode=mode), window, axis=1, mode=mode)
    weights = 1 / smooth
    expected = weights / (counts * weights).sum() * 200
    assert weights_of_bins(density) == pytest.approx(expected.flatten().tolist(), rel=1e-5)


@st.composite
def densities(draw: st.DrawFn) -> tuple[LabelDensity, Tensor]:
    scheme = draw(st.sampled_from(["none", "inverse", "sqrt_inverse"]))
    kernels = ["gaussian", "triangular", "laplace"]
    dimensions = draw(st.sampled_from([1, 2]))
    count = draw(st.integers(1, 60))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    labels = 10 * torch.rand(count, dimensions, generator=generator) ** draw(st.sampled_from([1, 3, 10]))
    density = LabelDensity(
        Bins([range(11)] * dimensions),
        scheme=scheme,
        clip=draw(st.sampled_from([None, (1, 5), (3, 3)])) if scheme == "inverse" else None,
        kernel=None if scheme == "none" else draw(st.sampled_from([None, *kernels])),
        kernel_size=draw(st.sampled_from([1, 5, 13])),
        sigma=draw(st.sampled_from([0.5, 2.0])),
        boundary=draw(st.sampled_from(["zero", "reflect"])),
        many=5,
        few=2,
    )
    return density.fit(labels), labels


@given(densities())
def test_weights_have_mean_one_and_are_positive_everywhere(case: tuple[LabelDensity, Tensor]) -> None:
    density, labels = case
    assert density.weights(labels).double().mean().item() == pytest.approx(1, rel=1e-5)
    everywhere = torch.tensor(weights_of_bins(density))
    assert torch.isfinite(everywhere).all()
    assert (everywhere > 0).all()
    assert density.counts.sum() == len(labels)


@given(densities(), st.randoms())
def test_the_order_of_training_labels_does_not_matter(case: tuple[LabelDensity, Tensor], random: Any) -> None:
    density, labels = case
    before = weights_of_bins(density)
    order = list(range(len(labels)))
    random.shuffle(order)
    assert weights_of_bins(density.fit(labels[order])) == pytest.approx(before, rel=1e-6)


def test_regions() -> None:
    assert REGIONS == ("many", "median", "few")
    counts = [101, 100, 20, 19, 0]
    labels = torch.repeat_interleave(torch.arange(5.0), torch.tensor(counts))
    density = LabelDensity(Bins(range(6))).fit(labels)
    assert density.region_of_bin.tolist() == [0, 1, 1, 2, 2]
    assert density.regions(torch.tensor([4.0, 0.5, 2.9])).tolist() == [2, 0, 1]
    other = LabelDensity(Bins(range(6)), many=19, few=1).fit(labels)
    assert other.region_of_bin.tolist() == [0, 0, 0, 1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_shapes_and_dtypes(dtype: torch.dtype) -> None:
    density = LabelDensity(BINS, scheme="inverse").fit(LABELS.unsqueeze(1))
    labels = torch.tensor([0, 1, 3], dtype=dtype)
    weights, regions = density.weights(labels), density.regions(labels.unsqueeze(1))
    assert (weights.shape, weights.dtype) == ((3,), torch.float32)
    assert (regions.shape, regions.dtype) == ((3,), torch.int64)
    assert (density.counts.dtype, density.region_of_bin.dtype) == (torch.int64, torch.int64)


def test_labels_outside_are_errors_only_when_checked() -> None:
    density = LabelDensity(BINS, scheme="inverse").fit(LABELS)
    outside = torch.tensor([0.5, 9.0])
    with pytest.raises(ValueError, match=r"got 9 at position 1"):
        density.weights(outside)
    with pytest.raises(ValueError, match=r"got 9 at position 1"):
        density.regions(outside)
    assert density.weights(outside, check=False).tolist() == density.weights(torch.tensor([0.5, 3.5])).tolist()
    assert density.regions(outside, check=False).tolist() == [2, 2]


def test_bins_may_come_with_fit() -> None:
    assert LabelDensity().fit(LABELS, BINS).bins == BINS
    assert LabelDensity(BINS).fit(LABELS, Bins([0, 1, 2, 3, 4])).counts.tolist() == [4, 9, 0, 1]
    with pytest.raises(ValueError, match="bins: expected those of the constructor"):
        LabelDensity(BINS).fit(LABELS, Bins([0, 4]))
    with pytest.raises(ValueError, match="bins: expected Bins"):
        LabelDensity().fit(LABELS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(torch.empty(0), "at least one"), (torch.tensor([5.0]), "got 5"), (torch.tensor([math.nan]), "got nan")],
)
def test_a_fit_that_fails_leaves_no_trace(labels: Tensor, message: str) -> None:
    density = LabelDensity()
    with pytest.raises(ValueError, match=message):
        density.fit(labels, BINS)
    assert density.bins is None
    with pytest.raises(RuntimeError, match="call fit"):
        density.weights(LABELS)
    assert density.fit(LABELS, Bins([0, 4])).counts.tolist() == [14]


def test_not_fitted() -> None:
    for call in (LabelDensity(BINS).weights, LabelDensity(BINS).regions):
        with pytest.raises(RuntimeError, match="call fit"):
            call(LABELS)
    with pytest.raises(RuntimeError, match="call fit"):
        LabelDensity(BINS).fitted_bins()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "inv"}, "scheme: .*did you mean"),
        ({"boundary": "zeros"}, "boundary: .*did you mean 'zero'"),
        ({"scheme": "inverse", "kernel": "gausian"}, "kernel: .*did you mean 'gaussian'"),
        ({"kernel": "gaussian"}, "kernel: expected a scheme that counts samples"),
        ({"scheme": "inverse", "kernel": "gaussian", "kernel_size": 4}, "kernel_size: "),
        ({"scheme": "inverse", "kernel": "gaussian", "sigma": -1.0}, "sigma: "),
        ({"clip": (5, 1000)}, "clip: expected scheme 'inverse', got 'none'"),
        ({"scheme": "sqrt_inverse", "clip": (5, 1000)}, "clip: expected scheme 'inverse'"),
        ({"scheme": "inverse", "clip": (0, 1000)}, "clip: expected 0 < low <= high"),
        ({"scheme": "inverse", "clip": (5, 4)}, "clip: expected 0 < low <= high"),
        ({"scheme": "effective_number"}, "beta: expected a number with scheme 'effective_number' only, got None"),
        ({"scheme": "inverse", "beta": 0.9}, "beta: expected a number with scheme 'effective_number' only, got 0.9"),
        ({"scheme": "effective_number", "beta": 1.0}, r"beta: expected a number in \[0, 1\), got 1.0"),
        ({"scheme": "effective_number", "beta": -0.1}, r"beta: expected a number in \[0, 1\), got -0.1"),
        ({"few": -1}, "few: "),
        ({"many": 10, "few": 20}, "many: expected a number of at least 20"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelDensity(BINS, **settings)


def test_tables_move_with_the_module_and_are_not_saved() -> None:
    density = LabelDensity(BINS, scheme="inverse").fit(LABELS)
    expected = weights_of_bins(density)
    assert density.state_dict() == {}
    for twin in (copy.deepcopy(density), pickle.loads(pickle.dumps(density))):  # noqa: S301  our own bytes
        assert weights_of_bins(twin) == expected
        assert twin.bins == BINS
    assert len(list(density.parameters())) == 0
    on_meta = nn.Sequential(density).to("meta")[0]
    assert isinstance(on_meta, LabelDensity)
    labels = torch.empty(5, device="meta")
    assert on_meta.weights(labels, check=False).device.type == "meta"  # a read value would be an error there
    assert on_meta.regions(labels, check=False).shape == (5,)


def test_the_labels_are_not_changed_and_carry_no_gradient() -> None:
    labels = LABELS.clone().requires_grad_()
    assert not LabelDensity(BINS, scheme="inverse").fit(labels).weights(labels).requires_grad
    assert torch.equal(labels, LABELS)


def test_text_names_the_settings() -> None:
    assert "scheme='inverse'" in repr(LabelDensity(BINS, scheme="inverse"))


def test_fixed_regions_overrule_the_counts() -> None:
    labels = torch.tensor([0.5, 0.5, 1.5])
    density = LabelDensity(Bins([0, 1, 2, 3]), many=1, few=1, fixed_regions=["few", "many", "median"]).fit(labels)
    assert density.regions(torch.tensor([0.5, 1.5, 2.5])).tolist() == [2, 0, 1]


def test_fixed_regions_are_checked() -> None:
    with pytest.raises(ValueError, match="fixed_regions: expected one of 'many', 'median', 'few', got 'medium'"):
        LabelDensity(fixed_regions=["medium"])
    with pytest.raises(ValueError, match="fixed_regions: expected 3, one per bin, got 1"):
        LabelDensity(Bins([0, 1, 2, 3]), fixed_regions=["few"]).fit(torch.tensor([0.5]))


@given(densities())
def test_fitting_counts_is_fitting_the_labels_they_count(case: tuple[LabelDensity, Tensor]) -> None:
    density, labels = case
    before = weights_of_bins(density), density.region_of_bin.tolist(), density.counts.tolist()
    for counts in (density.counts.clone(), density.counts.flatten().int()):
        density.fit_counts(counts)
        assert (weights_of_bins(density), density.region_of_bin.tolist(), density.counts.tolist()) == before
    assert density.fit(labels).counts.tolist() == before[2]


def test_counts_may_be_more_than_a_machine_holds_labels() -> None:
    density = LabelDensity(Bins([0, 1, 2]), scheme="inverse").fit_counts(torch.tensor([3 * 10**12, 10**12]))
    assert weights_of_bins(density) == pytest.approx([2 / 3, 2])


@pytest.mark.parametrize("kernel", [None, "gaussian"])
def test_depths_as_in_the_benchmark(kernel: str | None) -> None:
    """The published recipe by loops: 100 buckets; those below 7 are left out, then get what bucket 7 has."""
    random = np.random.default_rng(0)
    counts = (1e6 * np.exp(-((np.arange(100) - 25) ** 2) / 400) + random.integers(1, 50, 100)).astype(int)
    values = [float(count) for count in counts]
    if kernel is not None:
        window = gaussian_filter1d([0.0, 0.0, 1.0, 0.0, 0.0], sigma=2)
        values = [0.0] * 7 + convolve1d(np.array(values[7:]), window / max(window), mode="reflect").tolist()
    values[:7] = [values[7]] * 7
    scaling = sum(counts) / sum(count / value for count, value in zip(counts, values, strict=True))
    bins = Bins.by_width(width=0.1, low=0, high=10, clamp=True)
    density = LabelDensity(scheme="inverse", kernel=kernel, boundary="reflect", first_bin=7)
    density.fit_counts(torch.from_numpy(counts), bins)
    assert weights_of_bins(density) == pytest.approx([scaling / value for value in values], rel=1e-6)


def test_labels_that_all_lie_before_the_first_bin_weigh_the_same() -> None:
    density = LabelDensity(BINS, scheme="inverse", first_bin=2).fit(LABELS[:13])
    assert weights_of_bins(density) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ([1, 2], TypeError, "counts: expected a tensor of integers, got list"),
        (torch.tensor([1.0, 2.0, 0.0, 0.0]), TypeError, "counts: expected a tensor of integers, got torch.float32"),
        (torch.tensor([1, 2]), ValueError, r"counts: expected shape \(4,\), one per bin, got \(2,\)"),
        (torch.tensor([1, 2, 0, -1]), ValueError, "counts: expected no negative number, got -1"),
        (torch.zeros(4, dtype=torch.long), ValueError, "at least one training label, got none"),
    ],
)
def test_wrong_counts(counts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LabelDensity(BINS).fit_counts(counts)


def test_the_first_bin_must_be_one_of_one_dimension() -> None:
    with pytest.raises(ValueError, match="first_bin: expected a number of at least 0, got -1"):
        LabelDensity(first_bin=-1)
    for bins, first in ((BINS, 4), (Bins([range(4), range(4)]), 1)):
        with pytest.raises(ValueError, match=f"first_bin: expected one of the bins .* got {first}"):
            LabelDensity(first_bin=first).fit(torch.zeros(2, bins.dimensions), bins)
