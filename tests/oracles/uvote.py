"""UVOTE by a loop over its equation."""

import math
from collections.abc import Sequence

Vector = Sequence[float]


def uvote_losses(
    predictions: Sequence[Sequence[Sequence[Vector]]],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    head_weights: Sequence[Vector],
    progress: float,
) -> list[float]:
    losses = []
    for outputs, ys, weight, of_heads in zip(predictions, labels, weights, head_weights, strict=True):
        total = 0.0
        for head, head_weight in enumerate(of_heads):
            alpha = 1 - progress**2
            share = 1.0 if head == 0 else 1 - alpha
            for of_dimension, y in zip(outputs, ys, strict=True):
                mean, log_scale = of_dimension[head]
                scale = math.exp(min(max(log_scale, -5.0), 5.0))
                total += share * head_weight * (math.log(2 * scale) + abs(y - mean) / scale) / len(ys)
        losses.append(weight * total)
    return losses
