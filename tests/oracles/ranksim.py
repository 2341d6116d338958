"""RankSim by loops over its equation, and its black-box gradient."""

import math
from collections.abc import Sequence

from tests.oracles.conr import DISTANCES

Vector = Sequence[float]
Matrix = Sequence[Vector]


def ranksim_per_row(
    features: Matrix,
    labels: Matrix,
    predictions: Matrix,
    weights: Vector,
    *,
    interpolation: float,
    distance: str,
    deduplicate: bool = False,
) -> list[float]:
    """One term per sample, all samples taking part. The loss is their sum over n."""
    assert not deduplicate
    return [
        weights[i] * math.fsum((f - a) ** 2 for f, a in zip(*both, strict=True)) / len(features)
        for i, both in enumerate(_ranks_of_rows(features, labels, distance))
    ]


def ranksim_gradient(
    features: Matrix, labels: Matrix, weights: Vector, *, interpolation: float, distance: str
) -> list[list[float]]:
    """Gradient of the sum of all terms with respect to the features."""
    n = len(features)
    gradient = [[0.0] * len(vector) for vector in features]
    for i, (f, a) in enumerate(_ranks_of_rows(features, labels, distance)):
        similarities = [cosine(features[i], features[j]) for j in range(n)]
        moved = mean_ranks([s + interpolation * 2 * (f[j] - a[j]) / n for j, s in enumerate(similarities)])
        for j in range(n):
            slope = weights[i] * (moved[j] - f[j]) / interpolation
            for end, other in ((i, j), (j, i)):
                for axis, part in enumerate(cosine_slope(features[end], features[other])):
                    gradient[end][axis] += slope * part
    return gradient


def mean_ranks(values: Vector) -> list[float]:
    """1/M for the largest of M numbers; equal numbers share the mean of the positions that they take up."""
    shares = []
    for value in values:
        positions = [position for position, other in enumerate(sorted(values, reverse=True), 1) if other == value]
        shares.append(sum(positions) / len(positions) / len(values))
    return shares


def cosine(a: Vector, b: Vector) -> float:
    """0 if one of them is a vector of zeros."""
    lengths = math.hypot(*a), math.hypot(*b)
    if not all(lengths):
        return 0.0
    return math.fsum((x / lengths[0]) * (y / lengths[1]) for x, y in zip(a, b, strict=True))


def cosine_slope(a: Vector, b: Vector) -> list[float]:
    """Gradient of the cosine with respect to its first vector."""
    length, other = math.hypot(*a), math.hypot(*b)
    angle = cosine(a, b)
    return [(y / other - angle * x / length) / length for x, y in zip(a, b, strict=True)]


def _ranks_of_rows(features: Matrix, labels: Matrix, distance: str) -> list[tuple[list[float], list[float]]]:
    d = DISTANCES[distance]
    return [
        (mean_ranks([cosine(one, other) for other in features]), mean_ranks([-d(label, other) for other in labels]))
        for one, label in zip(features, labels, strict=True)
    ]
