"""DenseWeight by loops over its equation, with the density evaluated at each label."""

import math
import statistics
from collections.abc import Sequence

Vector = Sequence[float]


def dense_weights(
    labels: Sequence[Vector],
    training_labels: Sequence[Vector],
    *,
    alpha: float,
    eps: float = 1e-6,
    bandwidth: float | None = None,
) -> list[float]:
    n, k = len(training_labels), len(training_labels[0])
    columns = [[row[c] for row in training_labels] for c in range(k)]
    widths = [
        bandwidth or (4 / ((k + 2) * n)) ** (1 / (k + 4)) * (statistics.stdev(column) if n > 1 else 0)
        for column in columns
    ]

    def density(label: Vector) -> float:
        total = 0.0
        for row in training_labels:
            exponent = 0.0
            for c in range(k):
                if max(columns[c]) > min(columns[c]):
                    inside = min(max(label[c], min(columns[c])), max(columns[c]))
                    exponent += ((inside - row[c]) / widths[c]) ** 2 / 2
            total += math.exp(-exponent)
        return total

    known = [density(row) for row in training_labels]
    low, high = min(known), max(known)

    def raw(label: Vector) -> float:
        share = (density(label) - low) / (high - low) if high - low > 1e-6 * high else 0.0
        return max(1 - alpha * min(max(share, 0.0), 1.0), eps)

    mean = math.fsum(raw(row) for row in training_labels) / n
    return [raw(label) / mean for label in labels]
