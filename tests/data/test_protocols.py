from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.held import held_inputs

from conr.data import (
    Abalone,
    ArrayDataset,
    BlindSpot,
    Extrapolation,
    Interpolation,
    Protocol,
    RegressionData,
    Splits,
)
from conr.data.protocols import PooledRows
from conr.density import Bins

TEST_PER_BIN = 4


@st.composite
def datasets(draw: st.DrawFn) -> tuple[torch.Tensor, Bins]:
    """Labels over 12 bins of width 2, some of them empty, with enough in the middle for every protocol."""
    counts = draw(st.lists(st.integers(0, 40), min_size=12, max_size=12))
    counts[4:8] = [max(30, count) for count in counts[4:8]]
    index = torch.arange(12).repeat_interleave(torch.tensor(counts))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 5)))
    labels = 2 * index + 2 * torch.rand(len(index), generator=generator)
    return labels[torch.randperm(len(labels), generator=generator)], Bins.by_width(width=2, low=0, high=24)


def protocols(**common: Any) -> list[Protocol]:
    return [
        Extrapolation(center=12, width=3, **common),
        Interpolation(centers=(4, 20), width=9, **common),
        BlindSpot(low=10.5, high=13.8, **common),
    ]


@settings(deadline=None, max_examples=40)
@given(
    data=datasets(),
    seed=st.integers(0, 3),
    which=st.integers(0, 2),
    within=st.sampled_from([None, (6.0, 17.5)]),
    val_share=st.sampled_from([0.1, 0.3]),
)
def test_no_sample_twice_and_the_sizes_that_are_promised(
    data: tuple[torch.Tensor, Bins], seed: int, which: int, within: tuple[float, float] | None, val_share: float
) -> None:
    labels, bins = data
    protocol = protocols(test_per_bin=TEST_PER_BIN, seed=seed, within=within, val_share=val_share)[which]
    rows = protocol.rows(labels, bins)
    drawn = np.concatenate(list(rows.values()))
    assert len(np.unique(drawn)) == len(drawn)
    assert all(list(members) == sorted(members) for members in rows.values())
    low, high = within or (0, 24)
    usable = (labels >= low) & (labels <= high)
    assert usable[drawn].all()
    counts = bins.index(labels[usable]).bincount(minlength=12)
    tested = bins.index(labels[rows["test"]]).bincount(minlength=12)
    assert tested.tolist() == [TEST_PER_BIN if count >= TEST_PER_BIN else 0 for count in counts]
    trained = len(rows["train"]) + len(rows["val"])
    assert len(rows["val"]) == int(val_share * trained)
    positions = tested.nonzero().flatten()
    trained_bins = bins.index(labels[np.concatenate((rows["train"], rows["val"]))])
    assert positions[0] <= trained_bins.min()
    assert trained_bins.max() <= positions[-1]


@settings(deadline=None, max_examples=40)
@given(data=datasets(), seed=st.integers(0, 3))
def test_the_gap_is_empty_in_training_and_everything_else_is_used(data: tuple[torch.Tensor, Bins], seed: int) -> None:
    labels, bins = data
    rows = BlindSpot(low=10.5, high=13.8, test_per_bin=TEST_PER_BIN, seed=seed).rows(labels, bins)
    trained = labels[np.concatenate((rows["train"], rows["val"]))]
    assert not ((trained >= 10.5) & (trained <= 13.8)).any()
    assert ((labels[rows["test"]] >= 10.5) & (labels[rows["test"]] <= 13.8)).sum() > 0
    tested = bins.index(labels[rows["test"]])
    between = (bins.index(labels) >= tested.min()) & (bins.index(labels) <= tested.max())
    outside_the_gap = between & ~((labels >= 10.5) & (labels <= 13.8))
    assert len(trained) == int(outside_the_gap.sum()) - int(outside_the_gap[rows["test"]].sum())


@settings(deadline=None, max_examples=40)
@given(data=datasets(), seed=st.integers(0, 3))
def test_bumps_limit_what_a_bin_gives(data: tuple[torch.Tensor, Bins], seed: int) -> None:
    labels, bins = data
    index = bins.index(labels)
    occupied = sorted(set(index.tolist()))
    for centers, protocol in (
        ((12.0,), Extrapolation(center=12, width=1.5, test_per_bin=TEST_PER_BIN, seed=seed)),
        ((4.0, 20.0), Interpolation(centers=(4, 20), width=3, test_per_bin=TEST_PER_BIN, seed=seed)),
    ):
        weights = {
            one: sum(
                np.exp(-((labels[index == one].double().mean().item() - center) ** 2) / (2 * width**2))
                for center in centers
            )
            for width in [1.5 if len(centers) == 1 else 3]
            for one in occupied
        }
        rows = protocol.rows(labels, bins)
        trained = index[np.concatenate((rows["train"], rows["val"]))].bincount(minlength=12)
        tested = index[rows["test"]].bincount(minlength=12)
        ends = tested.nonzero().flatten()
        for one in occupied:
            limit = int(4 * len(labels) * weights[one] / sum(weights.values()))
            left = int((index == one).sum() - tested[one])
            expected = min(limit, left) if ends[0] <= one <= ends[-1] else 0
            assert trained[one] == expected


def test_protocols_of_equal_seed_share_their_test() -> None:
    labels = torch.arange(24.0).repeat_interleave(30)
    bins = Bins.by_width(width=2, low=0, high=24)
    tests = [protocol.rows(labels, bins)["test"] for protocol in protocols(test_per_bin=5)]
    assert all(np.array_equal(tests[0], other) for other in tests)
    other = BlindSpot(low=10.5, high=13.8, test_per_bin=5, seed=1)
    assert not np.array_equal(tests[0], other.rows(labels, bins)["test"])


def test_the_global_random_state_is_left_alone() -> None:
    labels, bins = torch.arange(24.0).repeat_interleave(30), Bins.by_width(width=2, low=0, high=24)
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    BlindSpot(low=10.5, high=13.8, test_per_bin=5).rows(labels, bins)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


class Halves(RegressionData):
    """Three splits whose inputs say which sample they are."""

    name = "halves"
    label_name = "size"

    def load(self) -> Splits:
        labels = torch.arange(8.0).repeat_interleave(30)
        inputs = torch.arange(240.0).unsqueeze(1)
        order = torch.randperm(240, generator=torch.Generator().manual_seed(0))
        parts = {
            split: ArrayDataset(inputs[rows], labels[rows], [f"sample-{row}" for row in rows.tolist()])
            for split, rows in zip(("train", "val", "test"), torch.tensor_split(order, (100, 180)), strict=True)
        }
        return Splits(**parts, bins=Bins.by_width(width=1, low=0, high=8))


def test_any_dataset_follows_a_protocol() -> None:
    data = Halves()
    assert (len(data.splits.train), data.title) == (100, "halves")
    data.protocol = BlindSpot(low=3, high=4, test_per_bin=10)
    assert data.title == "halves-blind-spot-3-4"
    splits = data.splits
    assert {split: len(getattr(splits, split)) for split in ("train", "val", "test")} == {
        "train": 108,
        "val": 12,
        "test": 80,
    }
    ids: list[str] = []
    for split in (splits.train, splits.val, splits.test):
        for position, name in enumerate(split.ids):
            inputs, label = split[position]
            assert isinstance(inputs, torch.Tensor)
            assert name == f"sample-{inputs.item():g}"  # input, label and name of a sample stay together
            assert label == split.labels[position] == inputs.item() // 30
        ids += split.ids
    assert len(set(ids)) == len(ids) == 200
    assert data.shot_density().counts.tolist()[3:5] == [0, 0]
    assert {batch[1].shape for batch in data.train_dataloader()} == {(64,), (44,)}
    data.protocol = None
    assert (len(data.splits.train), data.title) == (100, "halves")


def test_a_check_does_not_expect_the_published_counts_under_a_protocol() -> None:
    data = Halves()
    data.protocol = Extrapolation(center=4, width=1, test_per_bin=10)
    assert data.problems() == []
    data.protocol = Extrapolation(center=4, width=1, test_per_bin=31)
    assert len(data.problems()) == 1
    assert data.problems()[0].startswith("test_per_bin: expected a bin of at least 31 samples to test, got at most 30")


def test_pooled_rows_reach_every_dataset_of_the_pool() -> None:
    pool = [ArrayDataset(torch.full((size, 1), float(size)), torch.arange(float(size))) for size in (2, 1, 3)]
    rows = PooledRows(pool, np.array([0, 1, 2, 3, 5]))
    found = [
        (held.item(), label.item()) for held, label in (rows[i] for i in range(5)) if isinstance(held, torch.Tensor)
    ]
    assert found == [(2, 0), (2, 1), (1, 0), (3, 0), (3, 2)]
    assert rows.ids == ["0", "1", "0", "0", "2"]


def test_abalone_is_scaled_by_the_training_split_of_the_protocol() -> None:
    pytest.importorskip("sklego.datasets", reason="the table comes with scikit-lego")
    data = Abalone()
    data.protocol = BlindSpot(low=9, high=10, test_per_bin=20)
    measures = held_inputs(data.splits.train)[:, 3:]
    torch.testing.assert_close(measures.mean(dim=0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(measures.std(dim=0, correction=0), torch.ones(7), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (Extrapolation(center=50, width=7.07), "extrapolation-50-7.07"),
        (Interpolation(centers=(25, 80), width=7), "interpolation-25-80-7"),
        (BlindSpot(low=-1.5, high=53), "blind-spot--1.5-53"),
    ],
)
def test_names_tell_protocols_apart(protocol: Protocol, name: str) -> None:
    assert protocol.name == name


def test_impossible_protocols_are_refused() -> None:
    for arguments, message in (
        ({"test_per_bin": 0}, "test_per_bin: expected a number of at least 1, got 0"),
        ({"val_share": 1.0}, "val_share: expected a share between 0 and 1, got 1.0"),
        ({"within": (5, 4)}, "within: expected a number of at least 5, got 4"),
        ({"seed": -1}, "seed: expected a number of at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            BlindSpot(low=0, high=1, **arguments)
    with pytest.raises(ValueError, match="low and high: expected a number of at least 3, got 2"):
        BlindSpot(low=3, high=2)
    with pytest.raises(ValueError, match="width: expected a number above 0, got 0"):
        Extrapolation(center=1, width=0)
    with pytest.raises(ValueError, match=r"centers: expected at least two labels, got \[1\]"):
        Interpolation(centers=[1], width=1)


def test_impossible_splits_are_refused() -> None:
    labels, bins = torch.arange(10.0).repeat_interleave(8), Bins.by_width(width=1, low=0, high=10)
    with pytest.raises(ValueError, match=r"labels: expected one number per sample for a protocol, got shape \(80, 2\)"):
        BlindSpot(low=1, high=2).rows(torch.zeros(80, 2), bins)
    with pytest.raises(ValueError, match="expected a bin of at least 50 samples to test, got at most 8 in one of 10"):
        BlindSpot(low=1, high=2).rows(labels, bins)
    with pytest.raises(ValueError, match=r"got no tested label in \[20, 30\]; tested are 0 to 9"):
        BlindSpot(low=20, high=30, test_per_bin=2).rows(labels, bins)
    with pytest.raises(ValueError, match=r"val_share: .*, got a share of 0.1 of the 0 samples that the test leaves"):
        BlindSpot(low=0, high=9, test_per_bin=2).rows(labels, bins)
    with pytest.raises(ValueError, match=r"width: expected labels within reach of \[1000\], got none"):
        Extrapolation(center=1000, width=1, test_per_bin=2).rows(labels, bins)
