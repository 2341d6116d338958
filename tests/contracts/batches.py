"""Random batches, seeded by hypothesis, with integer labels so that ties and equal labels are common."""

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor


class Batch(NamedTuple):
    features: Tensor
    labels: Tensor
    predictions: Tensor
    weights: Tensor

    def to(self, dtype: torch.dtype) -> "Batch":
        return Batch(*(tensor.to(dtype) for tensor in self))


def make_batch(seed: int, n: int = 16, d: int = 5, k: int = 1, *, grid: float = 1.0) -> Batch:
    """Labels and predictions on a grid, so that distances hit the window exactly."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    labels = grid * torch.randint(0, 6, (n, k), generator=generator).double()
    predictions = labels + grid * torch.randint(-3, 4, (n, k), generator=generator).double()
    weights = 0.2 + 2 * torch.rand(n, generator=generator, dtype=torch.float64)
    return Batch(features, labels, predictions, weights)


def batches(dimensions: tuple[int, ...]) -> st.SearchStrategy[Batch]:
    """Batches of 1 to 24 samples with one of the given label dimensions."""
    return st.builds(
        make_batch,
        seed=st.integers(0, 2**31),
        n=st.integers(1, 24),
        d=st.integers(1, 7),
        k=st.sampled_from(dimensions),
        grid=st.sampled_from((1.0, 0.25)),
    )
