"""Unit vectors, with a gradient that is safe for a vector of zeros."""

from typing import Any

import torch
from torch import Tensor


def unit_vectors(features: Tensor) -> Tensor:
    r"""Rows scaled to length 1: $v_i = z_i / |z_i|$.

    A row of zeros (common after ReLU) stays as it is and gets no gradient, where autograd would give it a huge one.

    Args:
        features: shape (n, d), float32 or float64.

    Returns:
        Shape (n, d), differentiable once.
    """
    return _UnitVectors.apply(features)  # type: ignore[no-any-return]


def unit_and_inverse(features: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (n, d) scaled to length 1, and 1 over their lengths, (n, 1); both 0 for a row of zeros."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (n, 1)
    # A quotient, not a product with the inverse: a single feature becomes exactly 1 or -1.
    return features / norms.masked_fill(norms == 0, 1), inverse_or_zero(norms)


def inverse_or_zero(norms: Tensor) -> Tensor:
    """1 over lengths, but 0 for 0."""
    return norms.reciprocal().masked_fill_(norms == 0, 0)


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
