"""Unit vectors, and similarities and distances of the features of all pairs.

Each pair is there twice, so a gradient needs one product of matrices where autograd would make two.
"""

from typing import Any

import torch
from torch import Tensor

ORDINARY = 1e-15, 1e15  # lengths of vectors whose squares are far from the ends of float32
LONG = 256  # features from which half of the similarities are copied from the other half
PANELS, SMALLEST_PANEL = 4, 128
"""Into how many bands of rows the similarities are then cut, and the fewest rows of a band."""


def unit_vectors(features: Tensor) -> Tensor:
    r"""Rows scaled to length 1: $v_i = z_i / |z_i|$.

    A row of zeros (common after ReLU) stays as it is and gets no gradient, where autograd would give it a huge one.

    Args:
        features: shape (n, d), float32 or float64, of any length that the dtype can hold.

    Returns:
        Shape (n, d), differentiable once.
    """
    return _UnitVectors.apply(features)  # type: ignore[no-any-return]


def unit_and_inverse(features: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (n, d) scaled to length 1, and 1 over their lengths, (n, 1); both 0 for a row of zeros."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (n, 1)
    if are_ordinary(norms):
        # A quotient, not a product with the inverse: a single feature becomes exactly 1 or -1.
        return features / norms, norms.reciprocal()
    # Squares of 1e-30 and of 1e20 are 0 and infinity in float32: scale rows by their largest entry first.
    largest: Tensor = torch.linalg.vector_norm(features, ord=torch.inf, dim=1, keepdim=True)  # (n, 1)
    zero = largest == 0  # (n, 1)
    scaled = features / largest.masked_fill(zero, 1)  # (n, d)
    norms = torch.linalg.vector_norm(scaled, dim=1, keepdim=True).masked_fill_(zero, 1)  # (n, 1), 1 at least
    # Not infinity for the smallest numbers, which times 0 would be no number.
    inverse = (1 / largest / norms).clamp_(max=torch.finfo(features.dtype).max).masked_fill_(zero, 0)  # (n, 1)
    return scaled / norms, inverse


def can_look(tensor: Tensor) -> bool:
    """Tell if values can be read at once: a GPU would have to wait, and a compiled graph would break."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def are_ordinary(norms: Tensor) -> bool:
    """Tell if all lengths are far from the ends of their dtype; False where a GPU would have to wait to know."""
    if len(norms) == 0 or not can_look(norms):
        return False
    lowest, highest = torch.aminmax(norms)
    return ORDINARY[0] < float(lowest) and float(highest) < ORDINARY[1]


def through_unit_(grad_unit: Tensor, unit: Tensor, inverse_norms: Tensor) -> Tensor:
    """Gradient of the features (n, d) from that of their unit vectors, which it overwrites."""
    along = (grad_unit * unit).sum(dim=1, keepdim=True)  # (n, 1)
    return grad_unit.addcmul_(unit, along, value=-1).mul_(inverse_norms)  # (n, d)


class _UnitVectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        unit, inverse_norms = unit_and_inverse(features)  # (n, d), (n, 1)
        ctx.save_for_backward(unit, inverse_norms)
        return unit

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_unit: Tensor) -> Tensor:
        return through_unit_(grad_unit.clone(), *ctx.saved_tensors)


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
            return through_unit_(both_ways(grad) @ unit, unit, inverse_norms)


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
        wide = features if _squares_fit(features) else features.double()  # (n, d)
        # Not by products: these lose the small distances, and the zeros, to rounding.
        distances = torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist")  # (n, n)
        ctx.save_for_backward(wide, distances)
        return distances.to(features.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        features, distances = ctx.saved_tensors
        slopes = both_ways(torch.where(distances == 0, 0, grad.to(distances.dtype) / distances))  # (n, n)
        with torch.autocast(grad.device.type, enabled=False):
            # Distances do not see a shift; centred features lose less to rounding in the difference below.
            centred = features - features.mean(dim=0)  # (n, d)
            grad_features: Tensor = slopes.sum(dim=1, keepdim=True) * centred - slopes @ centred  # (n, d)
        return grad_features.to(grad.dtype)


def _squares_fit(features: Tensor) -> bool:
    """Tell if squares of differences neither overflow nor vanish; True where a GPU would have to wait to know."""
    if len(features) == 0 or not can_look(features):
        return True
    largest = float(torch.linalg.vector_norm(features, ord=torch.inf))
    return largest == 0 or ORDINARY[0] < largest < ORDINARY[1]


def products(unit: Tensor, others: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
    """Products of vectors (n, d) with themselves and with others (m - n, d), times a scale, (n, m); no gradient."""
    n, d = unit.shape
    m = n if others is None else n + len(others)
    # Compiled, addmm_ of a single row multiplies what it replaces by 0, which must not be NaN.
    result = unit.new_zeros(n, m) if torch.compiler.is_compiling() else unit.new_empty(n, m)
    # Below the diagonal numbers are copied where a product would take longer than a copy.
    panel = max(n, 1) if d < LONG else max(-(-n // PANELS), SMALLEST_PANEL)
    for top in range(0, n, panel):
        bottom = min(top + panel, n)
        result[top:bottom, top:n].addmm_(unit[top:bottom], unit[top:].T, beta=0, alpha=scale)
        result[bottom:, top:bottom] = result[top:bottom, bottom:n].T
    if others is not None:
        result[:, n:].addmm_(unit, others.T, beta=0, alpha=scale)
    return result


def both_ways(grad: Tensor) -> Tensor:
    """Slopes (n, n) of pairs, each the sum of both entries of the pair: the gradient of a symmetric matrix."""
    # A copy with its elements in order: without it the sum takes many times as long if n is a power of two.
    return grad.T.clone(memory_format=torch.contiguous_format).add_(grad)
