"""The order in which training samples come."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """All samples in a random order that depends on nothing but the seed and the epoch.

    A resumed run so sees the order that the killed one would have seen, however many random numbers were drawn before.

    Args:
        size: number of samples.
        seed: of the run; torch's initial seed if None.
    """

    def __init__(self, size: int, *, seed: int | None = None) -> None:
        self.size = size
        self.seed = torch.initial_seed() if seed is None else seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch; without it, each full pass counts."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        yield from torch.randperm(self.size, generator=generator).tolist()
        self.epoch += 1  # for a loop of one's own, which sets no epoch

    def __len__(self) -> int:
        return self.size


def mixed_seed(*parts: int) -> int:
    """One seed out of several numbers (of a run, an epoch, a process), well spread."""
    return int(np.random.SeedSequence([part % 2**64 for part in parts]).generate_state(1)[0])
