"""Orders that bring pairs together for the Triton engine's kernels, and for each block its tiles.

All of it is computed where the samples are, by sizes that Python knows: nothing waits for a GPU.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from conr.pairwise.distances import NORMS, box_coordinates
from conr.pairwise.pairs import Prepared, Rule, sort_keys

MAX_SPANS = 1024  # most spans of tiles whose boxes are compared with that of a block: keeps lists of them linear in n


class Side(NamedTuple):
    """Anchors or candidates in an order that brings the pairs of one set together."""

    order: Tensor  # (n,) int32: which sample stands where
    labels: Tensor  # (keys + 1, n), in that order: numbers of a label, and its reach
    predictions: Tensor  # (keys + 1, n), in that order
    points: Tensor  # (n, keys), in that order: what it follows
    reach: Tensor  # (n,), in that order: points further apart than both their reaches are no pairs
    norm: float  # p of the norm in which they are apart

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.order)


class Walk(NamedTuple):
    """Tiles of columns that each block of rows visits: its indices from first to last, into a list if there is one."""

    firsts: Tensor  # (blocks,) int32
    lasts: Tensor  # (blocks,) int32
    near: Tensor | None  # (blocks, spans) int32: spans of tiles, those that can hold pairs first
    spans: int
    span: int  # tiles of a span


def side(samples: Prepared, rule: Rule, *, positives: bool) -> Side:
    """Samples in the order of labels, which brings positives together, or of predictions, for negatives."""
    distance = str(rule.distance)
    points, reach = box_coordinates(*sort_keys(samples, positives=positives), distance)  # (n, keys), (n,)
    # NaN is within no window, and would lead a binary search astray.
    points = torch.nan_to_num(points, nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    order = _compact_order(points)  # (n,)

    def stored(keys: Tensor, own_reach: Tensor) -> Tensor:
        if distance == "angular":
            keys, _ = box_coordinates(keys, own_reach, distance)  # (n, 3)
        return torch.cat((keys, own_reach.unsqueeze(1)), dim=1)[order].T.contiguous()  # (keys + 1, n)

    return Side(
        order.to(torch.int32),
        stored(samples.labels, samples.label_reach),
        stored(samples.predictions, samples.prediction_reach),
        points[order],
        reach[order].nan_to_num(0, 0, 0),
        NORMS[distance],
    )


def walk(rows: Side, columns: Side, *, block_rows: int, block_columns: int) -> Walk:
    """The tiles that can hold pairs of blocks of rows with tiles of columns, of which neither is empty."""
    tiles = math.ceil(columns.n / block_columns)
    lows, highs, reaches = _boxes(rows, block_rows)  # (blocks, c), (blocks, c), (blocks, 1)
    if rows.points.shape[1] == 1:
        column_lows, column_highs, column_reaches = _boxes(columns, block_columns)  # (tiles, 1) each
        # With the widest reach of a tile, its ends need not rise from tile to tile: those up to here, and from here on.
        most = (column_highs + column_reaches).squeeze(1).cummax(dim=0).values  # (tiles,)
        least = (column_lows - column_reaches).squeeze(1).flip(0).cummin(dim=0).values.flip(0)  # (tiles,)
        firsts = torch.searchsorted(most, (lows - reaches).squeeze(1))  # (blocks,)
        lasts = torch.searchsorted(least, (highs + reaches).squeeze(1), right=True)  # (blocks,)
        return Walk(firsts.to(torch.int32), lasts.to(torch.int32), None, 1, 1)
    span = math.ceil(tiles / MAX_SPANS)
    column_lows, column_highs, column_reaches = _boxes(columns, block_columns * span)  # (spans, ...) each
    gaps = torch.maximum(column_lows - highs.unsqueeze(1), lows.unsqueeze(1) - column_highs)  # (blocks, spans, c)
    apart = torch.linalg.vector_norm(gaps.clamp_(min=0), ord=rows.norm, dim=2)  # (blocks, spans)
    far = apart > reaches + column_reaches.T  # (blocks, spans)
    near = far.to(torch.uint8).sort(dim=1, stable=True).indices.to(torch.int32)  # (blocks, spans)
    lasts = (~far).sum(dim=1, dtype=torch.int32) * span  # (blocks,)
    return Walk(torch.zeros_like(lasts), lasts, near, len(column_lows), span)


def _boxes(side: Side, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Smallest and largest coordinates of each block, (blocks, c) each, and its widest reach, (blocks, 1)."""
    blocks = math.ceil(side.n / block)

    def cut(rows: Tensor) -> Tensor:
        padding = rows[-1:].expand(blocks * block - len(rows), -1)  # (rest, c)
        return torch.cat((rows, padding)).reshape(blocks, block, -1)  # (blocks, block, c)

    blocked = cut(side.points)
    return blocked.amin(dim=1), blocked.amax(dim=1), cut(side.reach.unsqueeze(1)).amax(dim=1)


def _compact_order(points: Tensor) -> Tensor:
    """An order (n,) whose blocks of consecutive points (n, c) are compact: sorted, or along a curve through space.

    The curve visits the cells of a grid in the order of their interleaved bits.
    """
    n, c = points.shape
    if c == 1 or n == 0:
        return points[:, 0].argsort(stable=True)
    points = points[:, :62]
    bits = max(1, min(8, 62 // c))  # of a coordinate, 62 of all
    low, high = points.amin(dim=0), points.amax(dim=0)  # (c,), (c,)
    cells = (
        ((points - low) * ((2**bits - 1) / (high - low))).nan_to_num_(0, 0, 0).clamp_(0, 2**bits - 1).long()
    )  # (n, c)
    code = torch.zeros_like(cells[:, 0])  # (n,)
    for bit in reversed(range(bits)):
        for cell in cells.unbind(dim=1):
            code.mul_(2).add_((cell >> bit) & 1)
    return code.argsort(stable=True)
