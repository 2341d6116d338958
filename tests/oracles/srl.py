"""SRL by loops over its equation, and the step of its memory."""

import math
from collections.abc import Sequence
from itertools import pairwise

Vector = Sequence[float]


def srl(
    features: Sequence[Vector],
    labels: Sequence[Vector],
    predictions: Sequence[Vector],
    weights: Vector,
    *,
    edges: Vector,
    surrogate: Sequence[Vector],
    points: Sequence[Vector],
    envelope: float,
    homogeneity: float,
    contrast: float,
    temperature: float,
) -> float:
    """The loss of a batch, given the surrogate: a vector of zeros where a bin has none."""
    units = [_unit(vector) for vector in features]
    bins = [bin_of(label[0], edges) for label in labels]
    centroids: dict[int, list[float]] = {
        k: list(vector) for k, vector in enumerate(surrogate) if any(vector)
    } | batch_centroids(features, labels, edges)
    enveloping = 1 - sum(max(_dot(point, c) for c in centroids.values()) for point in points) / len(points)
    evenness = 0.0
    known = sorted(centroids)
    for k, following in pairwise(known):
        gap = (edges[following] + edges[following + 1]) / 2 - (edges[k] + edges[k + 1]) / 2
        evenness += math.dist(centroids[k], centroids[following]) ** 2 / gap
    contrasting = 0.0
    for unit, own, weight in zip(units, bins, weights, strict=True):
        logits = {k: _dot(unit, c) / temperature for k, c in centroids.items()}
        contrasting += weight * (math.log(math.fsum(map(math.exp, logits.values()))) - logits[own])
    return envelope * enveloping + homogeneity * evenness + contrast * contrasting / len(features)


def batch_centroids(features: Sequence[Vector], labels: Sequence[Vector], edges: Vector) -> dict[int, list[float]]:
    """Normalised mean of the unit vectors of each bin that has samples."""
    members: dict[int, list[list[float]]] = {}
    for vector, label in zip(features, labels, strict=True):
        members.setdefault(bin_of(label[0], edges), []).append(_unit(vector))
    return {k: _unit([sum(column) for column in zip(*units, strict=True)]) for k, units in members.items()}


def next_surrogate(surrogate: Sequence[Vector], fresh: dict[int, list[float]], momentum: float) -> list[list[float]]:
    """The memory after an epoch whose centroids are ``fresh``."""
    memory = [list(vector) for vector in surrogate]
    for k, centroid in fresh.items():
        old = memory[k]
        memory[k] = (
            _unit([momentum * x + (1 - momentum) * y for x, y in zip(old, centroid, strict=True)])
            if any(old)
            else centroid
        )
    return memory


def bin_of(label: float, edges: Vector) -> int:
    """Position of the half-open bin of a label; the first or last one for a label outside."""
    return sum(label >= edge for edge in edges[1:-1])


def _unit(vector: Vector) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else list(vector)


def _dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
