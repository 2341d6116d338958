"""Angles between directions by loops over unit vectors."""

import math
from collections.abc import Sequence

Direction = Sequence[float]


def angle_in_degrees(predicted: Direction, label: Direction) -> float:
    """Angle between two directions given as pitch and yaw in radians."""
    a, b = _unit_vector(predicted), _unit_vector(label)
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    # arccos of the product of the two, without its loss of digits
    return math.degrees(math.atan2(math.hypot(*cross), sum(x * y for x, y in zip(a, b, strict=True))))


def mean_angles(
    predictions: Sequence[Direction], labels: Sequence[Direction], regions: Sequence[str]
) -> dict[str, float]:
    """Mean angle over all samples and over those of each region; NaN for a region without samples."""
    found = {}
    for region in ("", "many", "median", "few"):
        angles = [
            angle_in_degrees(predicted, label)
            for predicted, label, one in zip(predictions, labels, regions, strict=True)
            if region in ("", one)
        ]
        found[f"angular_{region}" if region else "angular"] = math.fsum(angles) / len(angles) if angles else math.nan
    return found


def _unit_vector(direction: Direction) -> tuple[float, float, float]:
    pitch, yaw = direction
    return (-math.cos(pitch) * math.sin(yaw), -math.sin(pitch), -math.cos(pitch) * math.cos(yaw))
