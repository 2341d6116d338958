"""Additions to torch: a product that keeps its precision, what torch.compile leaves alone, rounding of labels."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def rounding(dtype: torch.dtype) -> float:
    """Allowance for the rounding of a label, relative to it, by the type that it was given in.

    Two machine epsilons for float32 and float64, in which labels are computed with, too. Half precision is compared in
    float32, so that only its one rounding is added, half an epsilon: more would let in the next label of a grid.
    """
    compared = torch.promote_types(dtype, torch.float32)
    allowance = 2 * torch.finfo(compared).eps
    is_half = dtype.is_floating_point and dtype != compared
    return allowance + torch.finfo(dtype).eps / 2 if is_half else allowance


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


def outside_graphs(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Like ``torch.compiler.disable``, which loads the compiler at once: here only where something is compiled."""

    @functools.wraps(function)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        if torch.compiler.is_compiling():
            disabled: Callable[Arguments, Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
            return disabled(*arguments, **options)
        return function(*arguments, **options)

    return run
