"""Ordinal Entropy by loops over its equation."""

import math
from collections.abc import Sequence
from itertools import combinations

from tests.oracles.conr import DISTANCES

Vector = Sequence[float]
Label = tuple[float, ...]


def ordinal_entropy(
    features: Sequence[Vector],
    labels: Sequence[Vector],
    predictions: Sequence[Vector],
    weights: Vector,
    *,
    diversity: float,
    tightness: float,
    bin_width: float | None,
    distance: str,
) -> float:
    """The loss of a batch."""
    d = DISTANCES[distance]
    groups: dict[Label, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(_rounded(label, bin_width), []).append(i)
    centers = {
        label: _unit([sum(features[i][axis] for i in members) for axis in range(len(features[0]))])
        for label, members in groups.items()
    }
    spread = 0.0
    pairs = list(combinations(groups, 2))
    if pairs:
        nearest, farthest = min(d(u, v) for u, v in pairs), max(d(u, v) for u, v in pairs)
        spread = sum((d(u, v) - nearest) / farthest * math.dist(centers[u], centers[v]) for u, v in pairs) / len(pairs)
    apart = [
        weights[i] * math.dist(_unit(features[i]), centers[label])
        for label, members in groups.items()
        for i in members
        if len(members) > 1
    ]
    width = sum(apart) / len(apart) if apart else 0.0
    return tightness * width - diversity * spread


def _rounded(label: Vector, bin_width: float | None) -> Label:
    return tuple(value if bin_width is None else math.floor(value / bin_width + 0.5) * bin_width for value in label)


def _unit(vector: Vector) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else list(vector)
