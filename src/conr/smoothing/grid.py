"""Tables with a row per bin: smoothed over neighbouring bins, and empty bins filled from their neighbours."""

from collections.abc import Sequence

import torch
from torch import Tensor


def smooth_bins(table: Tensor, shape: Sequence[int], kernel: Tensor) -> Tensor:
    """Convolve a table (bins, d) over the grid of bins, one label dimension after the other.

    The ends are mirrored without repeating the outermost bin (c b | a b c), as often as a small grid needs.

    Args:
        table: shape (bins, d).
        shape: bins per label dimension.
        kernel: symmetric window, odd length.
    """
    grid = table.reshape(*shape, -1)  # (..., d)
    half = len(kernel) // 2
    for dimension, size in enumerate(shape):
        positions = torch.arange(-half, size + half, device=table.device)  # (size + 2 half,)
        period = max(2 * (size - 1), 1)
        positions = positions % period
        padded = grid.index_select(dimension, torch.minimum(positions, period - positions))
        grid = (padded.unfold(dimension, len(kernel), 1) * kernel).sum(dim=-1)
    return grid.reshape(table.shape)


def fill_bins(table: Tensor, seen: Tensor, shape: Sequence[int]) -> Tensor:
    """Give each bin that was not seen the mean of the nearest ones that were; distances count steps over the grid.

    Args:
        table: shape (bins, d).
        seen: shape (bins,), bool; at least one is true.
        shape: bins per label dimension.
    """
    axes = [torch.arange(size, device=table.device, dtype=table.dtype) for size in shape]
    cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))  # (bins, k)
    steps = torch.cdist(cells[~seen], cells[seen], p=1)  # (empty, seen)
    nearest = (steps == steps.amin(dim=1, keepdim=True)).to(table.dtype)  # (empty, seen)
    filled = table.clone()
    with torch.autocast(table.device.type, enabled=False):
        filled[~seen] = nearest @ table[seen] / nearest.sum(dim=1, keepdim=True)
    return filled
