"""Similarities and distances of the features of all pairs, for the dense engine and for losses that sort or weigh them.

Each pair is there twice, so a gradient needs one product of matrices where autograd would make two.
"""

from typing import Any

import torch
from torch import Tensor

from conr.pairwise.matmul import matmul, matmul_into
from conr.pairwise.unit import through_unit_, unit_and_inverse

LONG = 256
"""Features from which half of the similarities are copied from the other half."""
PANELS, SMALLEST_PANEL = 4, 128
"""Into how many bands of rows the similarities are then cut, and the fewest rows of a band."""


def cosine_similarities(features: Tensor) -> Tensor:
    """Cosines of the angles between all pairs of features, (n, n); 0 for vectors of zeros, which get no gradient.

    Args:
        features: shape (n, d), float32 or float64; computed in that dtype also under autocast.

    Returns:
        Shape (n, n), differentiable once.
    """
    return _CosineSimilarities.apply(features)  # type: ignore[no-any-return]


class _CosineSimilarities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            unit, inverse_norms = unit_and_inverse(features)  # (n, d), (n, 1)
            ctx.save_for_backward(unit, inverse_norms)
            return products(unit)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, inverse_norms = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            return through_unit_(matmul(both_ways(grad), unit), unit, inverse_norms)


def euclidean_distances(features: Tensor) -> Tensor:
    """Euclidean distances of all pairs of features, (n, n). Equal features have distance 0 and no gradient.

    Args:
        features: shape (n, d), float32 or float64; computed in that dtype also under autocast.

    Returns:
        Shape (n, n), differentiable once.

    Notes:
        Time n^2 d. Unlike `torch.cdist`, the backward pass needs no memory beyond n^2 + n d, and one product of
        matrices.
    """
    return _EuclideanDistances.apply(features)  # type: ignore[no-any-return]


class _EuclideanDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        # Not by products: these lose the small distances, and the zeros, to rounding.
        distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (n, n)
        ctx.save_for_backward(features, distances)
        return distances

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        features, distances = ctx.saved_tensors
        slopes = both_ways(torch.where(distances == 0, 0, grad / distances))  # (n, n)
        with torch.autocast(grad.device.type, enabled=False):
            # Distances do not see a shift; centred features lose less to rounding in the difference below.
            centred = features - features.mean(dim=0)  # (n, d)
            grad_features: Tensor = slopes.sum(dim=1, keepdim=True) * centred - matmul(slopes, centred)  # (n, d)
        return grad_features


def products(unit: Tensor, others: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
    """Products of vectors (n, d) with themselves and with others (m - n, d), times a scale, (n, m); no gradient."""
    n, d = unit.shape
    m = n if others is None else n + len(others)
    result = unit.new_empty(n, m)
    # Below the diagonal numbers are copied where a product would take longer than a copy.
    panel = max(n, 1) if d < LONG else max(-(-n // PANELS), SMALLEST_PANEL)
    for top in range(0, n, panel):
        bottom = min(top + panel, n)
        matmul_into(result[top:bottom, top:n], unit[top:bottom], unit[top:].T, scale=scale)
        result[bottom:, top:bottom] = result[top:bottom, bottom:n].T
    if others is not None:
        matmul_into(result[:, n:], unit, others.T, scale=scale)
    return result


def both_ways(grad: Tensor) -> Tensor:
    """Slopes (n, n) of pairs, each the sum of both entries of the pair: the gradient of a symmetric matrix."""
    # A copy with its elements in order: without it the sum takes many times as long if n is a power of two.
    return grad.T.clone(memory_format=torch.contiguous_format).add_(grad)
