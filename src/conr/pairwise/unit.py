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


def inverse_lengths(features: Tensor) -> Tensor:
    """1 over the length of each row (n, d), 0 for a row of zeros; (n, 1)."""
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (n, 1)
    return norms.reciprocal().masked_fill_(norms == 0, 0)


def through_unit_(grad_unit: Tensor, unit: Tensor, inverse_norms: Tensor) -> Tensor:
    """Gradient of the features (n, d) from that of their unit vectors, which it overwrites."""
    along = (grad_unit * unit).sum(dim=1, keepdim=True)  # (n, 1)
    return grad_unit.addcmul_(unit, along, value=-1).mul_(inverse_norms)  # (n, d)


class _UnitVectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        inverse_norms = inverse_lengths(features)  # (n, 1)
        unit: Tensor = features * inverse_norms  # (n, d)
        ctx.save_for_backward(unit, inverse_norms)
        return unit

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_unit: Tensor) -> Tensor:
        return through_unit_(grad_unit.clone(), *ctx.saved_tensors)
