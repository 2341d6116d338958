"""Large products of matrices on a CPU, by the faster of the two libraries that torch has for them.

torch multiplies float32 matrices by MKL, which leaves much of a recent AMD processor unused. oneDNN, which torch keeps
for layers that it compiles, does not. Results are equal within rounding.
"""

import functools
import platform

import torch
from torch import Tensor

FEWEST = 2**24
"""Multiplications from which on oneDNN is asked: what it prepares for each product is then little."""


def matmul(first: Tensor, second: Tensor) -> Tensor:
    """The product of (n, d) and (d, m), without gradient."""
    if _by_onednn(first, second):
        return _onednn(first, second)
    return first @ second


def matmul_into(out: Tensor, first: Tensor, second: Tensor, *, scale: float = 1.0) -> None:
    """Write a scale times the product of (n, d) and (d, m) to (n, m), without gradient."""
    if _by_onednn(first, second):
        torch.mul(_onednn(first, second), scale, out=out)
    else:
        out.addmm_(first, second, beta=0, alpha=scale)


def _onednn(first: Tensor, second: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(first, second.T, None, "none", [], "")  # type: ignore[no-any-return]


def _by_onednn(first: Tensor, second: Tensor) -> bool:
    return (
        first.shape[0] * second.shape[0] * second.shape[1] >= FEWEST
        and first.device.type == "cpu"
        and first.dtype == second.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and _has_onednn()
    )


@functools.cache
def _has_onednn() -> bool:
    """Whether the operation is there and does what is expected: torch makes no promise about it."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    first, second = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]])
    try:
        return torch.equal(_onednn(first, second), first @ second)
    except (AttributeError, RuntimeError, TypeError):
        return False
