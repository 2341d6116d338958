from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Trainer
from tests.oracles.schedules import wanted_times
from tests.training.toy import Toy

from conr.data.sampling import EpochSampler, mixed_seed, sampling_weights
from conr.density import Bins


def test_each_epoch_is_another_permutation() -> None:
    sampler = EpochSampler(50, seed=3)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert len(sampler) == 50


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first = EpochSampler(50, seed=3)
    first.set_epoch(7)
    order = list(first)
    torch.rand(10)
    second = EpochSampler(50, seed=3)
    second.set_epoch(7)
    assert list(second) == order
    other = EpochSampler(50, seed=4)
    other.set_epoch(7)
    assert list(other) != order


def test_the_seed_is_the_run_s_if_not_given() -> None:
    torch.manual_seed(11)
    torch.rand(5)
    assert list(EpochSampler(20)) == list(EpochSampler(20, seed=11))


def test_without_a_trainer_each_full_pass_is_an_epoch() -> None:
    sampler = EpochSampler(50, seed=3)
    next(iter(sampler))  # not a full pass
    first, second = list(sampler), list(sampler)
    assert first != second
    sampler.set_epoch(1)
    assert list(sampler) == second


def test_mixed_seeds_differ() -> None:
    seeds = {mixed_seed(seed, epoch, rank) for seed in range(5) for epoch in range(5) for rank in range(3)}
    assert len(seeds) == 75
    assert mixed_seed(-1) == mixed_seed(2**64 - 1)


def seen(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(
    labels=st.lists(st.sampled_from([0.5, 1.5, 1.9, 3.0]), min_size=1, max_size=30),
    power=st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0]),
    seed=st.integers(0, 1000),
)
def test_samples_come_as_often_as_the_oracle_wants(labels: list[float], power: float, seed: int) -> None:
    edges = [0.0, 1.0, 2.0, 3.0, 4.0]
    wanted = wanted_times(labels, edges, power)
    weights = sampling_weights(torch.tensor(labels), Bins(edges), power=power)
    order = seen(EpochSampler(len(labels), weights=weights, seed=seed), epoch=seed % 7)
    assert len(order) == len(labels)
    for sample, times in enumerate(wanted):
        assert abs(order.count(sample) - times) < 1 + 1e-9
    if power == 0:
        assert sorted(order) == list(range(len(labels)))


def test_over_many_epochs_each_sample_comes_as_often_as_wanted() -> None:
    labels = [0.5] * 20 + [1.5] * 4 + [2.5]
    weights = sampling_weights(torch.tensor(labels), Bins([0, 1, 2, 3]), power=0.5)
    sampler = EpochSampler(25, weights=weights, seed=0)
    epochs = 500
    counts = np.bincount([sample for epoch in range(epochs) for sample in seen(sampler, epoch)], minlength=25)
    wanted = np.array(wanted_times(labels, [0, 1, 2, 3], 0.5))
    share = wanted % 1
    assert np.abs(counts - epochs * wanted).max() < 4.5 * np.sqrt(epochs * (share * (1 - share)).max())


def test_four_samples_by_hand() -> None:
    """Bins of three and one: with power 1 the single one is wanted 4 * 1 / (3 / 3 + 1) = 2 times, the others 2/3."""
    weights = sampling_weights(torch.tensor([0.0, 0.0, 0.0, 1.0]), Bins([0, 1, 2]), power=1.0)
    assert weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    sampler = EpochSampler(4, weights=weights, seed=5)
    orders = [seen(sampler, epoch) for epoch in range(50)]
    assert all(order.count(3) == 2 and max(order.count(other) for other in range(3)) == 1 for order in orders)
    assert {other for order in orders for other in order} == {0, 1, 2, 3}
    assert len({order.index(3) for order in orders}) == 3  # shuffled: its first place is any of the first three


@pytest.mark.parametrize(("size", "world"), [(12, 3), (11, 2), (5, 4)])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_ranks_share_what_one_process_sees(size: int, world: int, power: float) -> None:
    weights = sampling_weights(torch.arange(size) ** 2 / size**2, Bins([0, 0.1, 0.5, 1]), power=power)
    whole = seen(EpochSampler(size, weights=weights, seed=3), epoch=4)
    shares = [
        seen(EpochSampler(size, weights=weights, seed=3, rank=rank, world=world), epoch=4) for rank in range(world)
    ]
    assert {len(share) for share in shares} == {-(-size // world)}
    joined = [share[turn] for turn in range(len(shares[0])) for share in shares]
    assert joined == (whole * 2)[: len(joined)]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 1.0], r"weights: expected shape \(3,\), got \(2,\)"),
        ([1.0, -1.0, 1.0], "expected finite numbers of at least 0, not all 0, got -1 to 1"),
        ([0.0, 0.0, 0.0], "got 0 to 0"),
        ([1.0, float("nan"), 1.0], "got nan to nan"),
    ],
)
def test_weights_that_cannot_be_drawn_by_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpochSampler(3, weights=torch.tensor(weights))


def test_the_data_module_draws_by_its_power() -> None:
    data = Toy(batch_size=24)
    labels = data.splits.train.labels
    sampled = []
    for power in (0.0, 1.0):
        data.sampling_power = power
        (batch,) = data.train_dataloader()
        sampled.append(batch[1].int().bincount(minlength=4).tolist())
    counts = labels.int().bincount(minlength=4).tolist()
    assert sampled[0] == counts
    occupied = sum(count > 0 for count in counts)
    assert all(abs(drawn - 24 / occupied) <= 1 for drawn, count in zip(sampled[1], counts, strict=True) if count)
    data.sampling_power = -1.0
    with pytest.raises(ValueError, match="power: expected a number of at least 0, got -1"):
        data.train_dataloader()
    data.sampling_power, data.dense = 0.5, True
    with pytest.raises(ValueError, match=r"sampling_power: expected 0 with dense labels, got 0\.5"):
        data.train_dataloader()


def test_a_resumed_run_starts_with_the_order_of_its_epoch() -> None:
    """Also where workers draw before the trainer announces the epoch."""
    data = Toy(batch_size=24)
    data.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    counter: Any = data.trainer.fit_loop.epoch_progress.current
    counter.processed = 4
    sampler = data.train_dataloader().sampler
    assert isinstance(sampler, EpochSampler)
    assert (sampler.epoch, sampler.rank, sampler.num_replicas) == (4, 0, 1)
