"""Balanced sampling and the retraining of a head, by loops over float64 numbers."""

import numpy as np


def wanted_times(labels: list[float], edges: list[float], power: float) -> list[float]:
    """How often each sample comes in an epoch of as many draws as there are samples, in expectation."""
    counts = []
    for label in labels:
        count = 0
        for other in labels:
            count += _bin(label, edges) == _bin(other, edges)
        counts.append(count)
    total = 0.0
    for count in counts:
        total += count**-power
    return [len(labels) * count**-power / total for count in counts]


def retrained_head(features: list[list[float]], labels: list[float], edges: list[float], power: float) -> list[float]:
    """Coefficients and intercept of the linear head with the lowest squared error under weights of N^-power."""
    weights = wanted_times(labels, edges, power)
    size = len(features[0]) + 1
    matrix, right = np.zeros((size, size)), np.zeros(size)
    for row, label, weight in zip(features, labels, weights, strict=True):
        extended = [*row, 1.0]
        for i in range(size):
            right[i] += weight * extended[i] * label
            for j in range(size):
                matrix[i, j] += weight * extended[i] * extended[j]
    return [float(value) for value in np.linalg.solve(matrix, right)]


def _bin(label: float, edges: list[float]) -> int:
    for number in range(len(edges) - 1):
        if label < edges[number + 1]:
            return number
    return len(edges) - 2
