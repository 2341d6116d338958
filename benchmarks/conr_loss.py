"""Time forward and backward of ``conr_loss`` against the plain form and against the least any such loss must do.

The least with autograd is ``normalize`` and one n x n product with its backward; the least at all are two products of
matrices, one forward and one backward. Run: ``python -m benchmarks.conr_loss``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.plain_conr import plain_conr
from benchmarks.timing import environment, interleaved, write_results
from conr import conr_loss

SIZES = ((128, 2048), (512, 512), (2048, 128))
SETTINGS: dict[str, Any] = {"window": 1.0, "temperature": 0.07, "distance_scale": 0.01}


class _TwoProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        return (features @ features.T)[0, 0].clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        n = len(features)
        return grad.expand(n, n).contiguous() @ features  # type: ignore[no-any-return]


def batch(n: int, d: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, labels of integer ages, predictions off by some years, and weights."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, d, generator=generator).requires_grad_()
    labels = torch.randint(0, 100, (n,), generator=generator).float()
    predictions = labels + 8 * torch.randn(n, generator=generator)
    weights = 0.5 + torch.rand(n, generator=generator)
    return features, labels, predictions, weights


def measure(n: int, d: int, *, seconds: float = 4.0) -> dict[str, Any]:
    """One case of the result file."""
    features, labels, predictions, weights = batch(n, d)

    def least() -> Tensor:
        unit = F.normalize(features, dim=1)
        return (unit @ unit.T).sum()

    forms: dict[str, Callable[[], Tensor]] = {
        "conr_loss": lambda: conr_loss(features, labels, predictions, weights=weights, **SETTINGS),
        "plain": lambda: plain_conr(features, labels, predictions, weights, **SETTINGS),
        "normalize_and_product": least,
        "two_products": partial(_TwoProducts.apply, features),
    }
    difference = conr_loss(features, labels, predictions, weights=weights, **SETTINGS) - plain_conr(
        features, labels, predictions, weights, **SETTINGS
    )
    times = interleaved(forms, seconds=seconds)
    ours = times["conr_loss"]["full"]["median_ms"]
    return {
        "n": n,
        "d": d,
        **SETTINGS,
        "times": times,
        "difference_of_values": abs(float(difference.detach())),
        "plain_over_ours": times["plain"]["full"]["median_ms"] / ours,
        "two_products_over_ours": times["two_products"]["full"]["median_ms"] / ours,
        "ours_over_normalize_and_product": ours / times["normalize_and_product"]["full"]["median_ms"],
    }


def main() -> None:
    """Measure all sizes, print a line each, and write the result file."""
    ran_on, cases = environment(), []
    for n, d in SIZES:
        case = measure(n, d)
        cases.append(case)
        print(
            f"n={n} d={d}: conr_loss {case['times']['conr_loss']['full']['median_ms']:.2f} ms, "
            f"plain form {case['plain_over_ours']:.1f} times slower, "
            f"{case['ours_over_normalize_and_product']:.2f} times normalize and product"
        )
    print(write_results("conr_loss", cases, ran_on=ran_on))


if __name__ == "__main__":
    main()
