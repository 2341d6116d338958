"""A matrix product whose backward pass keeps its precision under autocast."""

from typing import Any

import torch
from torch import Tensor


def product(first: Tensor, second: Tensor) -> Tensor:
    """The matrix product (n, d) times (d, m), in full precision also in the backward pass under autocast."""
    return _Product.apply(first, second)  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, second)
        with torch.autocast(first.device.type, enabled=False):
            return first @ second

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        first, second = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            return (
                grad @ second.T if ctx.needs_input_grad[0] else None,
                first.T @ grad if ctx.needs_input_grad[1] else None,
            )
