"""Default label bins."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from conr._checks import check_number
from conr.density import Bins
from conr.density.bins import Labels, finite_columns, per_dimension

FEWEST, MOST = 10, 100

_LEAST_SPREAD = 1e-300


def label_bins(labels: Labels, *, width: float | Sequence[float] | None = None, count: int | None = None) -> Bins:
    r"""Bins of equal width over the labels, with edges at multiples of the width.

    Bins of equal count would hide what is rare. Without ``width`` and ``count``, whole numbers over a range below 100
    get one bin each. For other labels the width follows Freedman and Diaconis ("On the histogram as a density
    estimator", 1981), kept to about 10 to 100 bins and rounded to 1, 2, 2.5 or 5 times a power of ten; with several
    label dimensions there are about that many cells in all.

    $$\mathrm{width} = 2\, \mathrm{IQR}(y)\, n^{-1/3}$$

    Args:
        labels: shape (n,) or (n, k), finite; a tensor or an array.
        width: of a bin, in label units; one number, or one per label dimension.
        count: bins per label dimension, from the lowest to the highest label.

    Raises:
        TypeError: labels that are no tensor or array of real numbers.
        ValueError: both width and count, a number outside its range, no labels, one that is not finite, or labels that
            are all equal, or nearly so, in a dimension.

    Example:
        >>> import torch
        >>> label_bins(torch.linspace(0, 50, 1000))
        Bins(10 over [0, 50])
        >>> label_bins(torch.tensor([3.0, 7.0, 4.0]))
        Bins(5 over [3, 8])
    """
    if width is not None and count is not None:
        raise ValueError(f"width and count: expected one of them, got {width} and {count}")
    columns = finite_columns(labels)  # (n, k)
    for column in columns.T:
        low, high = float(column.min()), float(column.max())
        if low == high:
            raise ValueError(f"labels: expected numbers that differ, got {low:g} in all {len(column)} samples")
        if not _LEAST_SPREAD < high - low < math.inf:
            raise ValueError(f"labels: expected a range above {_LEAST_SPREAD:g} and finite, got {low:g} to {high:g}")
    if count is not None:
        check_number("count", count, low=1)
        return Bins.by_width(columns, width=((columns.amax(dim=0) - columns.amin(dim=0)) / count).tolist())
    if width is None:
        widths = [_default_width(column, columns.shape[1]) for column in columns.T]
    else:
        widths = per_dimension(width, columns.shape[1], "width")
    ranges = [_range(column, step) for column, step in zip(columns.T, widths, strict=True)]
    return Bins.by_width(width=widths, low=[low for low, _ in ranges], high=[high for _, high in ranges])


def _range(column: Tensor, width: float) -> tuple[float, float]:
    """Multiples of the width around the labels; a highest whole number begins a bin of its own, as all others do."""
    check_number("width", width, low=0, open_low=True)
    low, high = float(column.min()), float(column.max())
    if not max(abs(low), abs(high)) / width < math.inf:
        raise ValueError(f"width: expected one that suits labels from {low:g} to {high:g}, got {width:g}")
    first, last = math.floor(low / width + 1e-9), math.ceil(high / width - 1e-9)
    if last == first or (_whole(column) and abs(high / width - last) < 1e-9):
        last += 1
    return min(first * width, low), max(last * width, high)


def _whole(column: Tensor) -> bool:
    return bool((column == column.round()).all())


def _default_width(column: Tensor, dimensions: int) -> float:
    spread = float(column.max() - column.min())
    if dimensions == 1 and _whole(column) and spread < MOST:
        return 1.0
    low, high = np.quantile(column.cpu().numpy(), (0.25, 0.75)).tolist()  # torch takes at most 16 million
    wanted = 2 * (high - low) * len(column) ** (-1 / 3)
    most = MOST ** (1 / dimensions)
    bins = min(most, max(FEWEST ** (1 / dimensions), spread / wanted if wanted else most))
    width = spread / bins
    power = 10.0 ** math.floor(math.log10(width))
    return min((step * power for step in (1, 2, 2.5, 5, 10)), key=lambda step: abs(math.log(step / width)))


def wider_width(width: float, *, whole: bool = False) -> float:
    """The next wider of the widths 1, 2, 2.5, 5 times a power of ten; of whole numbers only, if ``whole``.

    Example:
        >>> wider_width(2), wider_width(2, whole=True), wider_width(0.07)
        (2.5, 5.0, 0.1)
    """
    check_number("width", width, low=0, open_low=True)
    power = math.floor(math.log10(width))
    steps = (float(f"{step}e{power + more}") for more in (0, 1, 2) for step in (1, 2, 2.5, 5))
    return next(step for step in steps if step > width * (1 + 1e-9) and (not whole or step == round(step)))
