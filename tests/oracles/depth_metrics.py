"""The metrics of depth estimation by loops over pixels."""

import math
from collections.abc import Sequence

Pixels = Sequence[tuple[float, float, int]]


def depth_metrics(pixels: Pixels) -> dict[str, float]:
    """Metrics of pixels (prediction, truth, bin); NaN for none."""
    count = len(pixels)
    names = ("rmse", "mae", "abs_rel", "log10", "delta1", "delta2", "delta3", "brmse")
    if count == 0:
        return {"count": 0.0, **dict.fromkeys(names, math.nan)}
    by_bin: dict[int, list[float]] = {}
    for prediction, truth, position in pixels:
        by_bin.setdefault(position, []).append((prediction - truth) ** 2)
    ratios = [max(max(p, 1e-3) / t, t / max(p, 1e-3)) for p, t, _ in pixels]
    return {
        "count": float(count),
        "rmse": math.sqrt(sum((p - t) ** 2 for p, t, _ in pixels) / count),
        "mae": sum(abs(p - t) for p, t, _ in pixels) / count,
        "abs_rel": sum(abs(p - t) / t for p, t, _ in pixels) / count,
        "log10": sum(abs(math.log10(max(p, 1e-3)) - math.log10(t)) for p, t, _ in pixels) / count,
        **{f"delta{k}": sum(ratio <= 1.25**k for ratio in ratios) / count for k in (1, 2, 3)},
        "brmse": math.sqrt(sum(sum(one) / len(one) for one in by_bin.values()) / len(by_bin)),
    }
