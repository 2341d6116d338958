"""HCA by loops over its equations."""

import math
from collections.abc import Sequence

Vector = Sequence[float]


def hca_losses(
    predictions: Sequence[Sequence[Vector]],
    labels: Sequence[Vector],
    weights: Vector,
    *,
    edges: Vector,
    counts: Sequence[int],
    levels: int,
    class_weights: Sequence[Vector],
) -> list[float]:
    """Losses of all samples, from the logits of all levels side by side and the class weights of each bin."""
    intervals = division(counts, levels)
    losses = []
    for (logits,), (label,), weight in zip(predictions, labels, weights, strict=True):
        own_bin = sum(label >= edge for edge in edges[1:-1])
        start, loss = 0, 0.0
        for parts, of_bin in zip(intervals, class_weights, strict=True):
            part = logits[start : start + len(parts)]
            start += len(parts)
            own = next(c for c, (low, high) in enumerate(parts) if low <= own_bin < high)
            log_norm = math.log(math.fsum(math.exp(x - max(part)) for x in part)) + max(part)
            loss += of_bin[own_bin] * (log_norm - part[own])
        losses.append(weight * loss)
    return losses


def class_weights_of_bins(counts: Sequence[int], levels: int, power: float) -> list[list[float]]:
    """Of each bin on each level, the weight of its class: 1 on average over the samples."""
    found = []
    for parts in division(counts, levels):
        samples = [sum(counts[low:high]) for low, high in parts]
        scales = [max(n, 1) ** -power for n in samples]
        norm = sum(counts) / sum(scale * n for scale, n in zip(scales, samples, strict=True))
        found.append([norm * s for s, (low, high) in zip(scales, parts, strict=True) for _ in range(low, high)])
    return found


def division(counts: Sequence[int], levels: int) -> list[list[tuple[int, int]]]:
    """The intervals of bins on each level, the finest last."""
    intervals = [(0, len(counts))]
    found = []
    for _ in range(levels):
        parts = []
        for low, high in intervals:
            if high - low == 1:
                parts.append((low, high))
                continue
            roots = [math.sqrt(n) for n in counts]
            half = sum(roots[low:high]) / 2
            cut = min(range(low + 1, high), key=lambda place: abs(sum(roots[low:place]) - half))
            parts += [(low, cut), (cut, high)]
        intervals = parts
        found.append(intervals)
    return [*found, [(b, b + 1) for b in range(len(counts))]]
