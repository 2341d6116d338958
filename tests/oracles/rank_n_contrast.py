"""Rank-N-Contrast by triple loop over its equation."""

import math
from collections.abc import Sequence

from tests.oracles.conr import DISTANCES

Vector = Sequence[float]


def rank_n_contrast_per_anchor(
    features: Sequence[Vector],
    labels: Sequence[Vector],
    predictions: Sequence[Vector],
    weights: Vector,
    *,
    temperature: float,
    distance: str,
) -> list[float]:
    """One term per sample; 0 for a sample that has no other. The loss is their sum over n."""
    d = DISTANCES[distance]
    n = len(features)
    terms = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        similarity = {j: -math.dist(features[i], features[j]) / temperature for j in others}
        total = 0.0
        for j in others:
            farther = [k for k in others if d(labels[i], labels[k]) >= d(labels[i], labels[j])]
            total += math.log(math.fsum(math.exp(similarity[k]) for k in farther)) - similarity[j]
        terms.append(weights[i] * total / len(others) if others else 0.0)
    return terms
