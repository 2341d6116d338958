"""Random batches for the contracts, and the tolerances of their comparisons."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypedDict

import torch
from hypothesis import strategies as st
from torch import Tensor


class Tolerance(TypedDict):
    """Arguments of `torch.testing.assert_close`."""

    rtol: float
    atol: float


# float16 and bfloat16 inputs are computed in float32: what remains is the rounding of the inputs themselves.
TOLERANCE: dict[torch.dtype, Tolerance] = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 2e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2e-2, "atol": 2e-2},
    torch.bfloat16: {"rtol": 1e-1, "atol": 1e-1},
}


class Batch(NamedTuple):
    """Inputs of a loss; a batch is passed to a regularizer as ``regularizer(*batch)``."""

    features: Tensor  # (n, d)
    labels: Tensor  # (n, k)
    predictions: Tensor  # (n, k), or (n, k, ...) for heads with several outputs per label
    weights: Tensor  # (n,)

    def to(self, dtype: torch.dtype) -> "Batch":
        """The batch in another dtype."""
        return Batch(*(tensor.to(dtype) for tensor in self))

    def rows(self, index: slice | Tensor) -> "Batch":
        """Some of the samples, or all of them in another order."""
        return Batch(*(tensor[index] for tensor in self))


Degenerate = Mapping[str, Callable[[Batch], Batch]]
"""Batches made of others, by name."""

DEGENERATE: Degenerate = {
    "no samples": lambda batch: batch.rows(slice(0)),
    "one sample": lambda batch: batch.rows(slice(1)),
    "two samples": lambda batch: batch.rows(slice(2)),
    "equal labels": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "equal predictions": lambda batch: batch._replace(predictions=torch.zeros_like(batch.predictions)),
    "equal features": lambda batch: batch._replace(features=torch.ones_like(batch.features)),
    "huge features": lambda batch: batch._replace(features=1e15 * batch.features),
    "tiny weights": lambda batch: batch._replace(weights=1e-30 * batch.weights),
}
"""Batches that lack what an equation may need."""


def make_batch(seed: int, n: int = 16, d: int = 5, k: int = 1, *, grid: float = 1.0) -> Batch:
    """A random batch in float64, with labels and predictions on a grid, so that ties are common.

    Args:
        seed: of all numbers in it.
        n: samples.
        d: size of a feature vector.
        k: label dimensions.
        grid: step of the grid; distances hit a window that is a multiple of it exactly.
    """
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    labels = grid * torch.randint(0, 6, (n, k), generator=generator).double()
    predictions = labels + grid * torch.randint(-3, 4, (n, k), generator=generator).double()
    weights = 0.2 + 2 * torch.rand(n, generator=generator, dtype=torch.float64)
    return Batch(features, labels, predictions, weights)


def batches(
    dimensions: tuple[int, ...], feature_sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
) -> st.SearchStrategy[Batch]:
    """Hypothesis' batches of 1 to 24 samples.

    Args:
        dimensions: label dimensions k to choose from.
        feature_sizes: numbers of features d to choose from.
    """
    return st.builds(
        make_batch,
        seed=st.integers(0, 2**31),
        n=st.integers(1, 24),
        d=st.sampled_from(feature_sizes),
        k=st.sampled_from(dimensions),
        grid=st.sampled_from((1.0, 0.25)),
    )
