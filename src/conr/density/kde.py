"""Kernel density estimates of labels."""

import numpy as np
import torch
from torch import Tensor

_PAIRS_AT_ONCE = 2**22


def distinct_labels(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows of (n, k), shape (u, k), and their shares of all rows, shape (u,)."""
    rows, counts = torch.unique(columns, dim=0, return_counts=True)
    return rows, counts.to(columns.dtype) / len(columns)


def rule_of_thumb(columns: Tensor) -> Tensor:
    r"""Bandwidth of each label dimension, shape (k,): $\sigma_c \, (4 / ((k + 2)\, n))^{1 / (k + 4)}$.

    For one dimension the familiar $1.06\, \sigma\, n^{-1/5}$ (Silverman 1986). 0 where all labels are
    equal.
    """
    n, k = columns.shape
    deviation = columns.std(dim=0, correction=min(1, n - 1))  # (k,); one label deviates by 0
    factor: float = (4 / ((k + 2) * n)) ** (1 / (k + 4))
    return deviation * factor


def relative_density(points: Tensor, samples: Tensor, shares: Tensor) -> Tensor:
    r"""Gaussian kernel density up to a constant factor: $\sum_j s_j \, e^{-\|x - y_j\|^2 / 2}$, (m,), in m u k time.

    Args:
        points: $x$, shape (m, k), in bandwidths.
        samples: $y$, shape (u, k), in bandwidths.
        shares: $s$, shape (u,), of sum 1.
    """
    step = max(1, _PAIRS_AT_ONCE // max(1, samples.numel()))
    pieces = []
    for piece in torch.split(points, step):
        squares = (piece.unsqueeze(1) - samples).square().sum(dim=2)  # (step, u)
        pieces.append((torch.exp(-squares / 2) * shares).sum(dim=1))
    return torch.cat(pieces)


def smoothed_quantiles(columns: Tensor, *, bandwidth: float, count: int) -> Tensor:
    """Quantiles (count, k) of each label dimension's kernel density, cut off at the smallest and largest label.

    Args:
        columns: shape (n, k), float64, finite, n at least 1.
        bandwidth: in standard deviations of the labels; positive.
        count: number of quantiles, at even steps from 0 to 1.
    """
    levels = np.linspace(0, 1, count)
    quantiles = []
    for column in columns.T:
        width = bandwidth * float(column.std(correction=min(1, len(column) - 1)))
        low, high = column.min(), column.max()
        if width == 0 or low == high:
            quantiles.append(low.expand(count))
            continue
        grid = torch.linspace(float(low), float(high), 4096, dtype=torch.float64, device=column.device)
        samples, shares = distinct_labels(column.unsqueeze(1))
        density = relative_density((grid - low).unsqueeze(1) / width, (samples - low) / width, shares)  # (points,)
        share_below = torch.cat((density.new_zeros(1), ((density[1:] + density[:-1]) / 2).cumsum(0)))
        share_below = share_below / share_below[-1]
        quantiles.append(torch.from_numpy(np.interp(levels, share_below.cpu().numpy(), grid.cpu().numpy())).to(column))
    return torch.stack(quantiles, dim=1)
