"""FDS by loops over its equations."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

Vector = Sequence[float]
Bin = tuple[int, ...]
Table = dict[Bin, list[float]]


class Statistics(NamedTuple):
    """Mean, variance and number of samples of each bin that has some."""

    mean: Table
    variance: Table
    samples: dict[Bin, int]


def fds(
    epochs: Sequence[tuple[Sequence[Vector], Sequence[Vector]]],
    features: Sequence[Vector],
    labels: Sequence[Vector],
    edges: Sequence[Vector],
    *,
    kernel: str = "triangular",
    kernel_size: int = 5,
    sigma: float = 2.0,
    momentum: float | None = 0.9,
    clip: tuple[float, float] = (0.1, 10.0),
    start_update: int = 0,
    start_smooth: int = 1,
    fill: bool = True,
    reference: bool = False,
) -> list[list[float]]:
    """What a batch becomes after some epochs."""
    weights = window(kernel, kernel_size, sigma)
    running = Statistics({}, {}, {})
    coloured: tuple[Table, Table] | None = None
    ready: set[Bin] = set()
    size = len(features[0]) if features else 0

    def smooth_batch(rows: Sequence[Vector], row_labels: Sequence[Vector]) -> list[list[float]]:
        return [
            calibrated(row, bin_of(label, edges), running, coloured, clip, ready=ready)
            for row, label in zip(rows, row_labels, strict=True)
        ]

    for epoch, (rows, row_labels) in enumerate(epochs):
        seen = smooth_batch(rows, row_labels) if reference else [list(row) for row in rows]
        if epoch < start_update:
            continue
        before = running
        fresh = statistics(seen, row_labels, edges)
        running = moved(running, fresh, momentum, from_start=reference)
        if epoch + 1 >= start_smooth:
            source = before if reference else running
            coloured = smoothed_tables(source, edges, weights, size, fill=fill, unseen=reference)
            ready = set(coloured[0] if coloured and reference and not fill else source.samples)
    return smooth_batch(features, labels)


def window(kernel: str, size: int, sigma: float) -> list[float]:
    """The kernel, of sum 1."""
    half = size // 2
    steps = [abs(x) for x in range(-half, half + 1)]
    if kernel == "triangular":
        values = [1 - step / (half + 1) for step in steps]
    elif kernel == "laplace":
        values = [math.exp(-step / sigma) for step in steps]
    else:
        raise ValueError(kernel)
    return [value / sum(values) for value in values]


def bin_of(label: Vector, edges: Sequence[Vector]) -> Bin:
    return tuple(sum(x >= edge for edge in own[1:-1]) for x, own in zip(label, edges, strict=True))


def statistics(features: Sequence[Vector], labels: Sequence[Vector], edges: Sequence[Vector]) -> Statistics:
    members: dict[Bin, list[Vector]] = {}
    for row, label in zip(features, labels, strict=True):
        members.setdefault(bin_of(label, edges), []).append(row)
    mean = {b: [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)] for b, rows in members.items()}
    variance = {
        b: [
            math.fsum((x - m) ** 2 for x in column) / max(len(rows) - 1, 1)
            for column, m in zip(zip(*rows, strict=True), mean[b], strict=True)
        ]
        for b, rows in members.items()
    }
    return Statistics(mean, variance, {b: len(rows) for b, rows in members.items()})


def moved(running: Statistics, fresh: Statistics, momentum: float | None, *, from_start: bool) -> Statistics:
    mean, variance, samples = dict(running.mean), dict(running.variance), dict(running.samples)
    for b, added in fresh.samples.items():
        size = len(fresh.mean[b])
        if from_start and running.samples and b not in running.samples:
            mean[b], variance[b] = [0.0] * size, [1.0] * size
        before = running.samples.get(b, 0)
        if b in mean:
            kept = before / (before + added) if momentum is None else momentum
            mean[b] = [kept * x + (1 - kept) * y for x, y in zip(mean[b], fresh.mean[b], strict=True)]
            variance[b] = [kept * x + (1 - kept) * y for x, y in zip(variance[b], fresh.variance[b], strict=True)]
        else:
            mean[b], variance[b] = fresh.mean[b], fresh.variance[b]
        samples[b] = before + added
    return Statistics(mean, variance, samples)


def smoothed_tables(
    running: Statistics,
    edges: Sequence[Vector],
    weights: Vector,
    size: int,
    *,
    fill: bool,
    unseen: bool,
) -> tuple[Table, Table] | None:
    if not running.samples:
        return None
    shape = [len(own) - 1 for own in edges]
    bins = list(itertools.product(*(range(n) for n in shape)))
    tables: list[Table] = []
    for table, start in ((running.mean, 0.0), (running.variance, 1.0)):
        complete = dict(table)
        for b in bins:
            if b not in table and fill:
                complete[b] = nearest(b, table)
            elif b not in table and unseen:
                complete[b] = [start] * size
        tables.append({b: smoothed(b, complete, shape, weights) for b in bins})
    return tables[0], tables[1]


def nearest(b: Bin, table: Table) -> list[float]:
    steps = {c: sum(abs(x - y) for x, y in zip(b, c, strict=True)) for c in table}
    near = [table[c] for c, distance in steps.items() if distance == min(steps.values())]
    return [sum(column) / len(near) for column in zip(*near, strict=True)]


def smoothed(b: Bin, table: Table, shape: Sequence[int], weights: Vector) -> list[float]:
    half = len(weights) // 2
    total, norm = [0.0] * len(next(iter(table.values()))), 0.0
    for offsets in itertools.product(range(-half, half + 1), repeat=len(shape)):
        c = tuple(mirrored(x + offset, n) for x, offset, n in zip(b, offsets, shape, strict=True))
        weight = math.prod(weights[offset + half] for offset in offsets)
        if c in table:
            norm += weight
            total = [x + weight * y for x, y in zip(total, table[c], strict=True)]
    return [x / norm if norm else 0.0 for x in total]


def mirrored(position: int, size: int) -> int:
    while not 0 <= position < size:
        position = -position if position < 0 else 2 * (size - 1) - position
    return position


def calibrated(
    row: Vector,
    b: Bin,
    running: Statistics,
    coloured: tuple[Table, Table] | None,
    clip: tuple[float, float],
    *,
    ready: set[Bin],
) -> list[float]:
    if coloured is None or b not in ready:
        return list(row)
    mean = running.mean.get(b, [0.0] * len(row))
    variance = running.variance.get(b, [1.0] * len(row))
    if sum(variance) < 1e-10:
        return list(row)
    result = []
    for x, m, v, target_mean, target_variance in zip(row, mean, variance, *(t[b] for t in coloured), strict=True):
        if v <= 0:
            result.append(x)
            continue
        ratio = min(max(target_variance / v, clip[0]), clip[1])
        result.append(math.sqrt(ratio) * (x - m) + target_mean)
    return result
