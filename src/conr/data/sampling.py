"""The order in which training samples come, and how often."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from conr._checks import check_number
from conr.density import Bins


class EpochSampler(DistributedSampler[int]):
    r"""Training samples in a random order that depends on nothing but the seed and the epoch.

    So a resumed run sees the order that the killed one would have seen, however many random numbers were drawn before.

    Without weights each sample comes once per epoch. With weights an epoch is as long, and a sample of weight $w_i$
    comes $n w_i / \sum_j w_j$ times in expectation, and never a whole time more or less than that (systematic
    sampling). Equal weights therefore behave like none; with independent draws a third of the samples would be missing.

    Args:
        size: number of samples, n.
        weights: how often each sample is wanted, shape (n,), none negative, not all zero; equally often if None.
        seed: of the run; torch's initial seed if None.
        rank: of this process among ``world``. All processes draw the same order and take turns in it, so that together
            they see what one process would have seen; if they do not divide it evenly, the first samples come again.
        world: number of processes.

    Raises:
        ValueError: weights of another shape, negative, not finite or all zero.

    Notes:
        A `torch.utils.data.DistributedSampler`, as this tells a trainer that shares are taken already and that each
        epoch must be announced.

    Example:
        >>> import torch
        >>> sampler = EpochSampler(4, weights=torch.tensor([1.0, 1.0, 1.0, 3.0]), seed=0)
        >>> sorted(sampler).count(3)  # 4 * 3 / 6
        2
    """

    def __init__(
        self, size: int, *, weights: Tensor | None = None, seed: int | None = None, rank: int = 0, world: int = 1
    ) -> None:
        seed = torch.initial_seed() if seed is None else seed
        super().__init__(cast("Dataset[int]", range(size)), num_replicas=world, rank=rank, seed=seed)
        self.size = size
        self.weights = None if weights is None else _checked(weights, size)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=generator)  # (n,)
        if self.weights is not None:
            order = _drawn(order, self.weights, generator)  # (n,)
        turns = torch.arange(self.rank, self.total_size, self.num_replicas) % self.size  # (n / world,)
        yield from order[turns].tolist()
        self.epoch += 1  # for a loop of one's own, which sets no epoch


def sampling_weights(labels: Tensor, bins: Bins, *, power: float) -> Tensor:
    r"""Frequencies (n,), float64, of the training samples at which bins come more evenly than they are filled.

    $$w_i = N_{b(i)}^{-p}$$

    Symbols: $N_b$ training samples in bin b, $p$ the power. Bin b then has a share of $N_b^{1-p} / \sum_c N_c^{1-p}$ of
    an epoch.

    Args:
        labels: of the training samples, shape (n,) or (n, k).
        bins: over the label dimensions.
        power: at least 0; 0 leaves the samples as they are, 1 fills all bins that have samples evenly.

    Raises:
        ValueError: a negative power; labels that do not lie in the bins.

    Example:
        >>> import torch
        >>> sampling_weights(torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]), Bins([0, 1, 2]), power=0.5).tolist()
        [0.5, 0.5, 0.5, 0.5, 1.0]
    """
    check_number("power", power, low=0)
    index = bins.index(labels).cpu()  # (n,)
    return index.bincount()[index].double() ** -power


def mixed_seed(*parts: int) -> int:
    """One seed out of several numbers (of a run, an epoch, a process), well spread."""
    return int(np.random.SeedSequence([part % 2**64 for part in parts]).generate_state(1)[0])


def _checked(weights: Tensor, size: int) -> Tensor:
    if weights.shape != (size,):
        raise ValueError(f"weights: expected shape ({size},), got {tuple(weights.shape)}")
    values = weights.cpu().double()
    if not (values.isfinite().all() and (values >= 0).all() and values.any()):
        raise ValueError(
            f"weights: expected finite numbers of at least 0, not all 0, got {values.min():g} to {values.max():g}"
        )
    return values


def _drawn(order: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as samples: points at a distance of 1 from a random start on the line of wanted times."""
    wanted = weights[order] * (len(order) / weights.sum())  # (n,)
    ends = wanted.cumsum(0)  # (n,)
    ends[-1] = len(order)
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    before = (ends - start).ceil()  # (n,), points start, start + 1, ... below each end
    times = before.diff(prepend=before.new_zeros(1)).long()  # (n,)
    return order.repeat_interleave(times)[torch.randperm(len(order), generator=generator)]
