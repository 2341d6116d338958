"""Distances between labels, for every pair of two sets of samples."""

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from conr._checks import check_choice
from conr.pairwise.similarities import can_look

MODERATE = 1e-30, 1e30
"""Ends of the numbers whose distances and products with others like them float32 holds well."""

MOST_EXACT = 2**24
"""Float32 has all whole numbers up to it."""

Distance = str | Callable[[Tensor, Tensor], Tensor]
"""A name of ``DISTANCES``, or a function of labels (n, k) and (m, k) that returns their distances (n, m)."""


def _minkowski(first: Tensor, second: Tensor, *, p: float, out: Tensor | None = None) -> Tensor:
    if first.shape[-1] == 1:
        return torch.sub(first, second.mT, out=out).abs_()  # (n, m); every norm is the absolute difference
    if p == 2 and not (_squares_fit(first) and _squares_fit(second)):
        return _distances(first.double(), second.double(), p).to(first.dtype)  # (n, m)
    return _distances(first, second, p)  # (n, m)


def _distances(first: Tensor, second: Tensor, p: float) -> Tensor:
    # The product form of the Euclidean distance is faster but loses ties at the window's edge to rounding.
    return torch.cdist(first, second, p=p, compute_mode="donot_use_mm_for_euclid_dist")


def _squares_fit(labels: Tensor) -> bool:
    """Tell if squares of differences neither overflow nor vanish; False where a GPU would have to wait to know."""
    if labels.dtype == torch.float64 or labels.numel() == 0:
        return True
    return can_look(labels) and 1e-11 < float(labels.abs().amax()) < 1e18


def _angular(first: Tensor, second: Tensor, *, out: Tensor | None = None) -> Tensor:  # noqa: ARG001
    directions, others = _directions(first), _directions(second)  # (n, 3), (m, 3)
    # Stable for tiny and for opposite angles, where acos of the dot product is not.
    apart = _distances(directions, others, 2.0)  # (n, m)
    together = _distances(directions, -others, 2.0)  # (n, m)
    return 2 * torch.atan2(apart, together)


def _directions(pitch_yaw: Tensor) -> Tensor:
    pitch, yaw = pitch_yaw[..., 0], pitch_yaw[..., 1]  # (n,), (n,)
    return torch.stack((pitch.cos() * yaw.sin(), pitch.sin(), pitch.cos() * yaw.cos()), dim=-1)  # (n, 3)


DISTANCES: dict[str, Callable[..., Tensor]] = {
    "l1": partial(_minkowski, p=1.0),
    "l2": partial(_minkowski, p=2.0),
    "linf": partial(_minkowski, p=float("inf")),
    "angular": _angular,
}
"""Functions of labels (n, k) and (m, k), or of many such sets (t, n, k) and (t, m, k); they may write to ``out``."""

NORMS = {"l1": 1.0, "l2": 2.0, "linf": math.inf, "angular": 2.0}
"""The norm of each distance: of labels, or for angles of their directions."""


def label_distance(first: Tensor, second: Tensor, distance: Distance) -> Tensor:
    r"""Distance between every label of one set and every label of another.

    Args:
        first: shape (n, k), any real dtype; computed in float32, or in float64 if given so or, on a CPU, of sizes that
            are beyond float32.
        second: shape (m, k).
        distance: ``"l1"``, ``"l2"``, ``"linf"`` in label units; ``"angular"``, the angle in radians between two
            directions given as pitch and yaw in radians (k = 2); or a function of both sets that returns shape (n, m).

    Returns:
        Distances, shape (n, m), without gradient.

    Raises:
        ValueError: unknown name; different or unfit k; a function that returns another shape.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"labels: expected equal label dimensions, got {first.shape[1]} and {second.shape[1]}")
    dtype = wide_enough((first, second))
    first, second = real(first, dtype), real(second, dtype)
    check_distance(distance, first.shape[1])
    if callable(distance):
        result = distance(first, second)
        if result.shape != (len(first), len(second)):
            expected, got = (len(first), len(second)), tuple(result.shape)
            raise ValueError(f"distance: expected shape {expected} from the given function, got {got}")
        return result.detach()
    return DISTANCES[distance](first, second)


def check_distance(distance: Distance, k: int) -> None:
    """Require the name of a distance that is defined for k label dimensions, or a function."""
    if callable(distance):
        return
    check_choice("distance", distance, DISTANCES)
    if distance == "angular" and k != 2:
        raise ValueError(f"distance: 'angular' expects labels (n, 2) of pitch and yaw, got k = {k}")


def box_coordinates(labels: Tensor, reach: Tensor, distance: str) -> tuple[Tensor, Tensor]:
    """Coordinates in which bounding boxes tell which labels cannot be within a window of each other.

    Labels whose distance in the norm of the coordinates (``NORMS``) is above the sum of the returned reaches are not
    within the window; these are rather too wide than too narrow.

    Args:
        labels: shape (n, k).
        reach: half of the window and what rounding may add, shape (n,).
        distance: name.

    Returns:
        Coordinates (n, c), and their reaches (n,).
    """
    if distance == "angular":
        labels, reach = _directions(labels), 2 * (reach.clamp(max=math.pi) / 2).sin()  # the chord of an angle
    size = torch.linalg.vector_norm(labels, ord=NORMS[distance], dim=1)  # (n,)
    return labels, reach + 16 * torch.finfo(labels.dtype).eps * (reach + size)


def wide_enough(labels: Iterable[Tensor], *settings: float) -> torch.dtype:
    """The dtype for distances of labels: float32, or float64 if a label or setting is finite and beyond it."""
    low, high = MODERATE
    sizes = list(settings)
    for one in labels:
        sizes.append(largest(one))
        if not one.is_floating_point() and sizes[-1] > MOST_EXACT:
            return torch.float64
    beyond = any(0 < size <= low or high <= size < math.inf for size in sizes)
    return torch.float64 if beyond else torch.float32


def largest(labels: Tensor) -> float:
    """The largest size of a number; 0 where there is none, or where looking would take too long."""
    if labels.numel() == 0 or not can_look(labels):
        return 0.0
    return float(torch.linalg.vector_norm(real(labels), ord=math.inf))


def real(labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels as constants in a dtype, or in float64 if given so."""
    return labels.detach().to(torch.promote_types(torch.promote_types(labels.dtype, torch.float32), dtype))
