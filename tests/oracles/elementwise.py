"""Criteria that score each sample by itself, by loops over their equations."""

import math
from collections.abc import Sequence

Vector = Sequence[float]


def error_term(error: float, kind: str, delta: float = 1.0) -> float:
    """f(e) of one error."""
    if kind == "l1":
        return abs(error)
    if kind == "mse":
        return error**2
    return error**2 / (2 * delta) if abs(error) < delta else abs(error) - delta / 2


def elementwise_losses(
    predictions: Sequence[Vector], labels: Sequence[Vector], weights: Vector, *, kind: str, delta: float = 1.0
) -> list[float]:
    return [
        weight * sum(error_term(p - y, kind, delta) for p, y in zip(ps, ys, strict=True)) / len(ys)
        for ps, ys, weight in zip(predictions, labels, weights, strict=True)
    ]


def focal_r_losses(
    predictions: Sequence[Vector],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    kind: str = "l1",
    activation: str = "sigmoid",
    error_scale: float,
    focus: float = 1.0,
) -> list[float]:
    losses = []
    for ps, ys, weight in zip(predictions, labels, weights, strict=True):
        total = 0.0
        for p, y in zip(ps, ys, strict=True):
            x = error_scale * abs(p - y)
            factor = 2 / (1 + math.exp(-x)) - 1 if activation == "sigmoid" else math.tanh(x)
            total += error_term(p - y, kind) * factor**focus
        losses.append(weight * total / len(ys))
    return losses
