import torch

from conr.data.sampling import EpochSampler, mixed_seed


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
