"""ConR by double loop over its equation."""

import math
from collections.abc import Callable, Sequence

Vector = Sequence[float]

DISTANCES: dict[str, Callable[[Vector, Vector], float]] = {
    "l1": lambda a, b: sum(abs(x - y) for x, y in zip(a, b, strict=True)),
    "l2": lambda a, b: math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True))),
    "linf": lambda a, b: max(abs(x - y) for x, y in zip(a, b, strict=True)),
    "angular": lambda a, b: _angle(_direction(a), _direction(b)),
}


def conr_per_anchor(
    features: Sequence[Vector],
    labels: Sequence[Vector],
    predictions: Sequence[Vector],
    weights: Vector,
    *,
    window: float,
    temperature: float,
    distance_scale: float,
    push: str,
    distance: str,
    weight_anchors: bool,
    candidates: tuple[Sequence[Vector], Sequence[Vector], Sequence[Vector]] = ((), (), ()),
) -> list[float]:
    """One term per sample; 0 for a sample that is no anchor. The loss is their sum over n.

    ``candidates`` are features, labels and predictions of more samples, which are no anchors.
    """
    d = DISTANCES[distance]
    terms = []
    anchors = len(features)
    features, labels, predictions = (
        [*own, *more] for own, more in zip((features, labels, predictions), candidates, strict=True)
    )
    n = len(features)
    for i in range(anchors):
        positives = [j for j in range(n) if j != i and d(labels[i], labels[j]) <= window]
        negatives = [
            j for j in range(n) if d(labels[i], labels[j]) > window and d(predictions[i], predictions[j]) <= window
        ]
        if not positives or not negatives:
            terms.append(0.0)
            continue
        denominator = math.fsum(
            [math.exp(_cosine(features[i], features[j]) / temperature) for j in positives]
            + [
                _push(weights[i], distance_scale * d(labels[i], labels[j]), push)
                * math.exp(_cosine(features[i], features[j]) / temperature)
                for j in negatives
            ]
        )
        attraction = math.fsum(_cosine(features[i], features[j]) / temperature for j in positives) / len(positives)
        terms.append((weights[i] if weight_anchors else 1.0) * (math.log(denominator) - attraction))
    return terms


def _push(weight: float, scaled_distance: float, push: str) -> float:
    return weight * (math.exp(scaled_distance) if push == "exp" else scaled_distance)


def _cosine(a: Vector, b: Vector) -> float:
    norm = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0


def _direction(pitch_yaw: Vector) -> tuple[float, float, float]:
    pitch, yaw = pitch_yaw
    return (-math.cos(pitch) * math.sin(yaw), -math.sin(pitch), -math.cos(pitch) * math.cos(yaw))


def _angle(a: Vector, b: Vector) -> float:
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return math.atan2(math.hypot(*cross), sum(x * y for x, y in zip(a, b, strict=True)))
