"""Dist Loss by a loop over its equation, as the distance of two sorted lists."""

import math
from collections.abc import Sequence

from tests.oracles.elementwise import error_term

Vector = Sequence[float]


def dist_losses(
    predictions: Sequence[Vector],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    quantiles: Sequence[Vector],
    coefficient: float = 1.0,
    kind: str = "l1",
    delta: float = 1.0,
) -> list[float]:
    n, k = len(labels), len(labels[0])
    losses = [0.0] * n
    for c in range(k):
        table = [row[c] for row in quantiles]
        by_prediction = sorted(range(n), key=lambda i: predictions[i][c])
        for rank, i in enumerate(by_prediction):
            pseudo = _interpolate(table, (rank + 0.5) / n)
            own = error_term(predictions[i][c] - labels[i][c], kind, delta)
            placed = error_term(predictions[i][c] - pseudo, kind, delta)
            losses[i] += weights[i] * (own + coefficient * placed) / k
    return losses


def _interpolate(table: Vector, level: float) -> float:
    position = level * (len(table) - 1)
    left = min(math.floor(position), len(table) - 2)
    return table[left] + (position - left) * (table[left + 1] - table[left])
