"""ACCon by double loop over its equation, with angles instead of their cosines and sines."""

import math
from collections.abc import Sequence

from tests.oracles.conr import DISTANCES
from tests.oracles.ranksim import cosine

Vector = Sequence[float]


def accon_per_anchor(
    features: Sequence[Vector],
    labels: Sequence[Vector],
    predictions: Sequence[Vector],
    weights: Vector,
    *,
    label_range: float,
    window: float,
    temperature: float,
    distance: str,
) -> list[float]:
    """One term per sample; 0 for a sample without positives. The loss is their sum over n."""
    d = DISTANCES[distance]
    n = len(features)
    terms = []
    for i in range(n):
        attraction, total = [], []
        for j in range(n):
            apart = d(labels[i], labels[j])
            angle = math.acos(max(-1.0, min(1.0, cosine(features[i], features[j]))))
            if j != i and apart <= window:
                attraction.append(math.cos(angle) / temperature)
                total.append(math.exp(math.cos(angle) / temperature))
            elif j != i:
                compensation = math.pi * (1 - min(1.0, apart / label_range))
                total.append(math.exp(math.cos(angle + compensation) / temperature))
        if attraction:
            terms.append(weights[i] * (math.log(math.fsum(total)) - sum(attraction) / len(attraction)))
        else:
            terms.append(0.0)
    return terms
