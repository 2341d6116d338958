import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conr.density import Bins, balanced_split


def test_of_each_bin_a_third_but_at_most_most() -> None:
    labels = torch.tensor([5.0] * 2 + [6.0] * 7 + [7.0] * 30)
    parts = balanced_split(labels, Bins([5, 6, 7, 8]), most=4, seed=0)
    assert {split: Counter(labels[rows].tolist()) for split, rows in parts.items()} == {
        "train": {5.0: 2, 6.0: 3, 7.0: 22},
        "val": {6.0: 2, 7.0: 4},
        "test": {6.0: 2, 7.0: 4},
    }


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(0, 12), min_size=6, max_size=6).filter(lambda counts: max(counts) >= 3),
    dimensions=st.sampled_from([1, 2]),
    most=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_sizes_per_bin_and_every_row_once(counts: list[int], dimensions: int, most: int, seed: int) -> None:
    # Six bins in a row, or two by three; labels are the middles of the bins.
    bins = Bins(list(range(7))) if dimensions == 1 else Bins([[0, 1, 2], [0, 1, 2, 3]])
    labels = bins.centers.repeat_interleave(torch.tensor(counts), dim=0)
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    labels = labels.squeeze(1) if dimensions == 1 else labels
    rows = balanced_split(labels, bins, most=most, seed=seed)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(labels)))
    held_out = [min(count // 3, most) for count in counts]
    expected = {"train": [count - 2 * out for count, out in zip(counts, held_out, strict=True)]}
    expected |= {"val": held_out, "test": held_out}
    for split, members in rows.items():
        assert list(members) == sorted(members)
        assert bins.index(labels[members]).bincount(minlength=6).tolist() == expected[split]


def test_every_member_of_a_bin_is_as_likely() -> None:
    labels = torch.zeros(6)
    drawn = Counter(
        int(row) for seed in range(900) for row in balanced_split(labels, Bins([0, 1]), most=2, seed=seed)["test"]
    )
    assert all(abs(drawn[row] - 300) < 5 * (900 / 3 * 2 / 3) ** 0.5 for row in range(6))


def test_the_seed_alone_decides() -> None:
    labels = torch.arange(200) % 7
    bins = Bins(list(range(8)))
    first = balanced_split(labels, bins, most=5, seed=0)
    np.random.seed(1)  # noqa: NPY002  the global state must not matter
    again, other = balanced_split(labels, bins, most=5, seed=0), balanced_split(labels, bins, most=5, seed=1)
    assert all(np.array_equal(first[split], again[split]) for split in first)
    assert not np.array_equal(first["test"], other["test"])


@pytest.mark.parametrize(("labels", "n", "most"), [([0.5, 0.7, 1.5, 2.5], 4, 2), ([], 0, 0)])
def test_splits_that_would_be_empty_are_refused(labels: list[float], n: int, most: int) -> None:
    message = f"labels: expected a bin of at least 3 samples, .*, got {n} samples with at most {most} in one of 3 bins"
    with pytest.raises(ValueError, match=message):
        balanced_split(torch.tensor(labels), Bins([0, 1, 2, 3]), most=20, seed=0)


def test_impossible_arguments_are_refused() -> None:
    labels, bins = torch.zeros(9), Bins([0, 1])
    with pytest.raises(ValueError, match="most: expected a number of at least 1, got 0"):
        balanced_split(labels, bins, most=0, seed=0)
    with pytest.raises(ValueError, match="seed: expected a number of at least 0, got -1"):
        balanced_split(labels, bins, most=1, seed=-1)
    with pytest.raises(ValueError, match=r"labels: expected numbers in \[0, 1\], got nan at position 8"):
        balanced_split(torch.tensor([0.0] * 8 + [math.nan]), bins, most=1, seed=0)
