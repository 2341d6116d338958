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


class _UnitVectors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (n, 1)
        inverse_norms = torch.where(norms > 0, 1 / norms, 0)  # (n, 1)
        unit = features * inverse_norms  # (n, d)
        ctx.save_for_backward(unit, inverse_norms)
        return unit

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_unit: Tensor) -> Tensor:
        unit, inverse_norms = ctx.saved_tensors
        along = (grad_unit * unit).sum(dim=1, keepdim=True)  # (n, 1)
        return torch.addcmul(grad_unit, unit, along, value=-1).mul_(inverse_norms)  # (n, d)
