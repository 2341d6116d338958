import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conr.density.default_bins import label_bins


def test_whole_numbers_get_a_bin_each() -> None:
    bins = label_bins(torch.tensor([3.0, 7.0, 4.0]))
    assert bins.edges[0].tolist() == [3, 4, 5, 6, 7, 8]
    assert len(label_bins(torch.tensor([0.0, 99.0]))) == 100
    assert len(label_bins(torch.arange(1000.0))) < 100


def test_other_labels_follow_freedman_and_diaconis_rounded() -> None:
    labels = torch.linspace(0, 40, 1001, dtype=torch.float64)
    # 2 * 20 / 1001 ** (1 / 3) = 4.0, kept to at least 10 bins: 4 at most, and 4 is nearest to 5 on a log scale.
    assert label_bins(labels).edges[0].tolist() == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    many = torch.linspace(0, 1, 100_001, dtype=torch.float64)  # 2 * 0.5 / 46.4 = 0.0215
    assert label_bins(many).edges[0].tolist() == pytest.approx([0.02 * step for step in range(51)])


@settings(deadline=None, max_examples=60)
@example(labels=[0.0, 1.0, 2.0, 3501.0, 0.5], skewed=False)
@given(
    labels=st.lists(
        st.floats(-1e6, 1e6, width=32) | st.integers(-50, 50).map(float), min_size=2, max_size=60, unique=True
    ),
    skewed=st.booleans(),
)
def test_default_bins_hold_all_labels_and_are_neither_few_nor_many(labels: list[float], skewed: bool) -> None:
    values = torch.tensor(labels, dtype=torch.float64)
    values = values.sign() * values.abs().log1p().exp2() if skewed else values
    if len(set(values.float().tolist())) < 2:
        return
    bins = label_bins(values)
    index = bins.index(values.float())  # datasets keep labels in float32
    assert 0 <= index.min() < index.max() + 1 <= len(bins)
    whole = bool((values == values.round()).all()) and values.max() - values.min() < 100
    assert whole or 4 <= len(bins) <= 100 * 2**0.5 + 2  # rounded from 35 to 25, and a part of a bin at either end
    widths = bins.edges[0].diff()
    assert torch.allclose(widths, widths[0].expand_as(widths), rtol=1e-6)


@pytest.mark.parametrize("width", [0.1, 0.25, 3, 7.5])
def test_edges_lie_at_multiples_of_a_given_width(width: float) -> None:
    labels = torch.tensor([-1.3, 0.0, 0.7, 2.0])
    edges = label_bins(labels, width=width).edges[0]
    multiples = edges / width
    assert torch.allclose(multiples, multiples.round(), atol=1e-6)
    assert edges[0] <= -1.3 + 1e-6 < edges[1]
    assert edges[-2] < 2.0 <= edges[-1]


def test_the_highest_label_on_an_edge_makes_no_bin_unless_labels_are_whole() -> None:
    assert label_bins(torch.tensor([0.0, 0.5, 1.0]), width=0.5).edges[0].tolist() == [0, 0.5, 1]
    assert label_bins(torch.tensor([0.0, 1.0, 2.0]), width=1).edges[0].tolist() == [0, 1, 2, 3]


def test_a_count_divides_the_range() -> None:
    assert label_bins(torch.tensor([1.0, 2.0, 9.0]), count=4).edges[0].tolist() == [1, 3, 5, 7, 9]


def test_several_dimensions_share_the_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randn(5000, 2, generator=generator) * torch.tensor([1, 1e5])
    assert 10 <= len(label_bins(labels)) <= 200
    steps = [edges.diff()[0].item() for edges in label_bins(labels, width=[1, 2e5]).edges]
    assert steps == [1, 2e5]
    assert label_bins(labels, count=3).shape == (3, 3)


def test_impossible_bins_are_refused() -> None:
    labels = torch.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="width and count: expected one of them, got 1 and 2"):
        label_bins(labels, width=1, count=2)
    with pytest.raises(ValueError, match="labels: expected numbers that differ, got 3 in all 4 samples"):
        label_bins(torch.full((4,), 3.0))
    for width in (0, -1, math.inf):
        with pytest.raises(ValueError, match="width: expected a"):
            label_bins(labels, width=width)
    with pytest.raises(ValueError, match="count: expected a number of at least 1, got 0"):
        label_bins(labels, count=0)


def test_more_labels_than_torchs_quantiles_take() -> None:
    labels = torch.linspace(0, 40, 2**24 + 1)
    assert len(label_bins(labels)) == 80


def test_a_width_is_one_number_or_one_per_dimension() -> None:
    labels = torch.rand(50, 2)
    narrow: Any = np.float32(0.5)
    assert label_bins(labels, width=narrow).shape == label_bins(labels, width=[0.5, 0.5]).shape
    with pytest.raises(ValueError, match="width: expected 2 numbers, one per label dimension, got 3"):
        label_bins(labels, width=[1, 2, 3])
