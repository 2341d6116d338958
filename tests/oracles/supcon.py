"""SupCon on binned labels by double loop over its equation."""

import math
from collections.abc import Sequence

from tests.oracles.ranksim import cosine

Vector = Sequence[float]


def supcon_per_anchor(
    features: Sequence[Vector],
    labels: Sequence[Vector],
    predictions: Sequence[Vector],
    weights: Vector,
    *,
    bin_width: float,
    temperature: float,
) -> list[float]:
    """One term per sample; 0 for a sample that is alone in its bin. The loss is their sum over n."""
    n = len(features)
    bins = [tuple(math.floor(value / bin_width + 0.5) for value in label) for label in labels]
    terms = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        similarity = {j: cosine(features[i], features[j]) / temperature for j in others}
        positives = [j for j in others if bins[j] == bins[i]]
        if not positives:
            terms.append(0.0)
            continue
        total = math.fsum(math.exp(similarity[k]) for k in others)
        terms.append(weights[i] * (math.log(total) - sum(similarity[j] for j in positives) / len(positives)))
    return terms
