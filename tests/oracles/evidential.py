"""Deep evidential regression by a loop over its equation."""

import math
from collections.abc import Sequence

Vector = Sequence[float]


def evidential_losses(
    predictions: Sequence[Sequence[Vector]], labels: Sequence[Vector], weights: Vector, *, coefficient: float
) -> list[float]:
    losses = []
    for outputs, ys, weight in zip(predictions, labels, weights, strict=True):
        total = 0.0
        for (gamma, *raw), y in zip(outputs, ys, strict=True):
            nu, alpha, beta = (math.log1p(math.exp(o)) + 1e-6 for o in raw)
            alpha += 1
            omega = 2 * beta * (1 + nu)
            total += (
                0.5 * math.log(math.pi / nu)
                - alpha * math.log(omega)
                + (alpha + 0.5) * math.log(nu * (y - gamma) ** 2 + omega)
                + math.lgamma(alpha)
                - math.lgamma(alpha + 0.5)
                + coefficient * abs(y - gamma) * (2 * nu + alpha)
            )
        losses.append(weight * total / len(ys))
    return losses
