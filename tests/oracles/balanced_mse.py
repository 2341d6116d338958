"""Balanced MSE by loops over its three equations."""

import math
from collections.abc import Sequence

import numpy as np

Vector = Sequence[float]


def bmc_losses(
    predictions: Sequence[Vector],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    noise_scale: float,
    drawn: Sequence[int] | None = None,
) -> list[float]:
    """With ``drawn``, these labels stand for all others: their sum is scaled up from its number of terms to n - 1."""
    n = len(labels)
    losses = []
    for i in range(n):
        others = [j for j in (range(n) if drawn is None else drawn) if j != i]
        terms = [_kernel(predictions[i], labels[j], noise_scale) for j in others]
        scale = (n - 1) / len(others) if others else 0.0
        total = _kernel(predictions[i], labels[i], noise_scale) + scale * math.fsum(terms)
        own = _square(predictions[i], labels[i]) / (2 * noise_scale**2)
        losses.append(2 * noise_scale**2 * weights[i] * (own + math.log(total)))
    return losses


def bni_losses(
    predictions: Sequence[Vector],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    noise_scale: float,
    masses: Vector,
    centers: Sequence[Vector],
) -> list[float]:
    losses = []
    for p, y, weight in zip(predictions, labels, weights, strict=True):
        total = math.fsum(mass * _kernel(p, center, noise_scale) for mass, center in zip(masses, centers, strict=True))
        own = _square(p, y) / (2 * noise_scale**2)
        losses.append(2 * noise_scale**2 * weight * (own + math.log(total)))
    return losses


def gai_losses(
    predictions: Sequence[Vector],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    noise_scale: float,
    masses: Vector,
    means: Sequence[Vector],
    covariances: Sequence[Sequence[Vector]],
) -> list[float]:
    """With the full normal densities, whose constants cancel."""
    losses = []
    for p, y, weight in zip(predictions, labels, weights, strict=True):
        noise = noise_scale**2 * np.eye(len(y))
        total = math.fsum(
            mass * _normal(p, mean, np.array(covariance) + noise)
            for mass, mean, covariance in zip(masses, means, covariances, strict=True)
        )
        losses.append(2 * noise_scale**2 * weight * (math.log(total) - math.log(_normal(y, p, noise))))
    return losses


def _square(a: Vector, b: Vector) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def _kernel(a: Vector, b: Vector, noise_scale: float) -> float:
    return math.exp(-_square(a, b) / (2 * noise_scale**2))


def _normal(x: Vector, mean: Vector, covariance: "np.ndarray") -> float:
    deviation = np.array(x) - np.array(mean)
    exponent = deviation @ np.linalg.inv(covariance) @ deviation / 2
    return float(np.exp(-exponent) / np.sqrt(np.linalg.det(2 * np.pi * covariance)))
