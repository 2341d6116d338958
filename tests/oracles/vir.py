"""VIR by loops over its equations."""

import itertools
import math
from collections.abc import Sequence

from tests.oracles.fds import (
    Bin,
    Statistics,
    Table,
    Vector,
    bin_of,
    calibrated,
    mirrored,
    moved,
    nearest,
    window,
)


def variational_fds(
    epochs: Sequence[tuple[Sequence[Vector], Sequence[Vector]]],
    features: Sequence[Vector],
    labels: Sequence[Vector],
    edges: Sequence[Vector],
    *,
    weight: Sequence[Vector],
    bias: Vector,
    noise: Sequence[Vector],
    kernel: str = "triangular",
    kernel_size: int = 5,
    sigma: float = 2.0,
    momentum: float | None = 0.9,
    clip: tuple[float, float] = (0.1, 10.0),
    start_update: int = 0,
    start_smooth: int = 1,
    fill: bool = True,
) -> list[list[float]]:
    """What a batch becomes after some epochs, with a given layer for the variances and given noise."""
    weights = window(kernel, kernel_size, sigma)
    running = [Statistics({}, {}, {}), Statistics({}, {}, {})]
    coloured: list[tuple[Table, Table] | None] = [None, None]
    ready: set[Bin] = set()
    for epoch, (rows, row_labels) in enumerate(epochs):
        if epoch < start_update:
            continue
        fresh = epoch_statistics(rows, [variances(row, weight, bias) for row in rows], row_labels, edges)
        running = [moved(one, new, momentum, from_start=False) for one, new in zip(running, fresh, strict=True)]
        if epoch + 1 >= start_smooth:
            coloured = [smoothed_moments(one, edges, weights, fill=fill) for one in running]
            ready = set(running[0].samples)
    result = []
    for row, label, drawn in zip(features, labels, noise, strict=True):
        b = bin_of(label, edges)
        spread = variances(row, weight, bias)
        mean, variance = (
            calibrated(values, b, one, tables, clip, ready=ready)
            for values, one, tables in zip((row, spread), running, coloured, strict=True)
        )
        result.append([m + math.sqrt(max(v, 1e-10)) * e for m, v, e in zip(mean, variance, drawn, strict=True)])
    return result


def variances(row: Vector, weight: Sequence[Vector], bias: Vector) -> list[float]:
    raw = [math.fsum(a * x for a, x in zip(line, row, strict=True)) + c for line, c in zip(weight, bias, strict=True)]
    return [math.log1p(math.exp(-abs(x))) + max(x, 0.0) for x in raw]


def epoch_statistics(
    means: Sequence[Vector], spreads: Sequence[Vector], labels: Sequence[Vector], edges: Sequence[Vector]
) -> list[Statistics]:
    """Of the mean of each bin and of its total variance: their means and variances."""
    members: dict[Bin, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(bin_of(label, edges), []).append(i)
    found = [Statistics({}, {}, {}), Statistics({}, {}, {})]
    for b, rows in members.items():
        n = len(rows)
        for d in range(len(means[0])):
            mean = math.fsum(means[i][d] for i in rows) / n
            variance = math.fsum(spreads[i][d] for i in rows) / n**2
            # The mean of v - variance + mu^2 - mean^2, without the difference of two large squares.
            total = math.fsum(spreads[i][d] - variance + (means[i][d] - mean) ** 2 for i in rows) / n
            for statistics, values in zip(
                found, ((mean, variance), (total, 2 * total**2 / max(n - 1, 1))), strict=True
            ):
                statistics.mean.setdefault(b, []).append(values[0])
                statistics.variance.setdefault(b, []).append(values[1])
                statistics.samples[b] = n
    return found


def smoothed_moments(
    running: Statistics, edges: Sequence[Vector], weights: Vector, *, fill: bool
) -> tuple[Table, Table] | None:
    if not running.samples:
        return None
    shape = [len(own) - 1 for own in edges]
    bins = list(itertools.product(*(range(n) for n in shape)))
    half = len(weights) // 2
    tables: tuple[Table, Table] = ({}, {})
    for power, source, target in zip((1, 2), (running.mean, running.variance), tables, strict=True):
        complete = {b: nearest(b, source) if fill else [] for b in bins} | source
        for b in bins:
            total, norm = [0.0] * len(next(iter(source.values()))), 0.0
            for offsets in itertools.product(range(-half, half + 1), repeat=len(shape)):
                c = tuple(mirrored(x + offset, n) for x, offset, n in zip(b, offsets, shape, strict=True))
                share = math.prod(weights[offset + half] for offset in offsets)
                if complete[c]:
                    norm += share
                    total = [x + share**power * y for x, y in zip(total, complete[c], strict=True)]
            target[b] = [x / norm**power if norm else 0.0 for x in total]
    return tables


def vir_losses(
    predictions: Sequence[Sequence[Vector]],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    coefficient: float,
    prior_evidence: float,
    prior_concentration: float,
) -> list[float]:
    losses = []
    for outputs, ys, weight in zip(predictions, labels, weights, strict=True):
        total = 0.0
        for (gamma, count, rate), y in zip(outputs, ys, strict=True):
            n = weight * (2 + math.log1p(math.exp(0.1 * count)) / 0.1)
            nu, alpha = prior_evidence + n, prior_concentration + n / 2
            omega = 2 * (math.log1p(math.exp(rate)) + 1e-6) * (1 + nu)
            total += (
                0.5 * math.log(math.pi / nu)
                - alpha * math.log(omega)
                + (alpha + 0.5) * math.log(nu * (y - gamma) ** 2 + omega)
                + math.lgamma(alpha)
                - math.lgamma(alpha + 0.5)
                + coefficient * abs(y - gamma) * (2 * nu + alpha)
            )
        losses.append(total / len(ys))
    return losses
