r"""Which tiles of the n x m similarities a recomputing engine visits: all of them, or those that can hold pairs.

A sweep is one ordered walk: anchors and candidates in an order that brings pairs together, cut into blocks of rows, and
for each block the ranges of columns that can hold its pairs. Ranges may be too wide, never too narrow: each pair is
decided again inside the tile, by the same arithmetic as in the dense engine.

Pairs of one set with itself are symmetric (for every named distance), so a mutual sweep visits a pair once, above the
diagonal, for both of its samples.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from conr.pairwise.distances import Distance, box_coordinates

MAX_COLUMNS = 1024
"""Widest tile. With 256 rows a tile of float32 then has 1 MB, which stays in cache."""


class Tile(NamedTuple):
    """Rows [top, bottom) and columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int


class Sweep(NamedTuple):
    """One walk over tiles that finds positives, negatives or both."""

    rows: Tensor  # (n,) int64: the order of the anchors
    columns: Tensor  # (m,) int64: the order of the candidates; `rows` itself where a set meets itself
    tiles: list[Tile]
    positives: bool
    negatives: bool
    own: bool  # the candidates are the anchors
    mutual: bool  # each pair is visited once, for both of its samples

    @property
    def area(self) -> int:
        """How many similarities the walk computes."""
        return sum((tile.bottom - tile.top) * (tile.right - tile.left) for tile in self.tiles)


def full_sweep(n: int, m: int, *, own: bool, mutual: bool, block: int, device: torch.device) -> Sweep:
    """Every tile (above the diagonal, if mutual), for positives and negatives at once."""
    rows = torch.arange(n, device=device)  # (n,)
    columns = rows if own else torch.arange(m, device=device)  # (m,)
    tiles = [
        tile
        for top in range(0, n, block)
        for tile in _columns(top, min(top + block, n), top if mutual else 0, m, block)
    ]
    return Sweep(rows, columns, tiles, positives=True, negatives=True, own=own, mutual=mutual)


def interval_sweep(values: Tensor, others: Tensor | None, *, window: float, block: int, positives: bool) -> Sweep:
    """Tiles that hold all pairs of one-dimensional values within a window: in sorted order, one interval per block.

    Args:
        values: labels (for positives) or predictions (for negatives) of the anchors, shape (n,), float32 or float64.
        others: those of the candidates, shape (m,); None: the anchors themselves, mutual.
        window: largest distance.
        block: rows of a tile.
        positives: whether the sweep finds positives; else negatives.
    """
    ordered, rows = _sorted(values)  # (n,), (n,)
    ordered_others, columns = (ordered, rows) if others is None else _sorted(others)  # (m,), (m,)
    # The rounded difference of two values is within the window only if the exact one is within a few roundings of it.
    reach = window * (1 + 8 * torch.finfo(values.dtype).eps)
    ends = torch.searchsorted(ordered_others, ordered + reach, right=True)  # (n,)
    starts = torch.searchsorted(ordered_others, ordered - reach)  # (n,)
    firsts, lasts = _block_edges(len(values), block, values.device)  # (blocks,), (blocks,)
    edges = zip(firsts.tolist(), lasts.tolist(), starts[firsts].tolist(), ends[lasts].tolist(), strict=True)
    tiles = [
        tile
        for first, last, start, end in edges
        for tile in _columns(first, last + 1, first if others is None else start, end, block)
    ]
    own = others is None
    return Sweep(rows, columns, tiles, positives=positives, negatives=not positives, own=own, mutual=own)


def box_sweep(
    points: Tensor, others: Tensor | None, *, window: float, distance: Distance, block: int, positives: bool
) -> Sweep:
    """Tiles that hold all pairs of labels (n, k) within a window: blocks whose bounding boxes come close enough.

    Args:
        points: labels (for positives) or predictions (for negatives) of the anchors, shape (n, k).
        others: those of the candidates, shape (m, k); None: the anchors themselves, mutual.
        window: largest distance.
        distance: the name of a distance.
        block: rows and smallest columns of a tile.
        positives: whether the sweep finds positives; else negatives.
    """
    own = others is None
    points, p, reach = box_coordinates(points, distance, window)  # (n, c)
    rows = _compact_order(points, block)  # (n,)
    lows, highs = _boxes(points[rows], block)  # (blocks, c), (blocks, c)
    if others is None:
        m, columns, column_lows, column_highs = len(points), rows, lows, highs
    else:
        others, _, _ = box_coordinates(others, distance, window)  # (m, c)
        m, columns = len(others), _compact_order(others, block)  # (m,)
        column_lows, column_highs = _boxes(others[columns], block)  # (column blocks, c)
    tiles: list[Tile] = []
    for index, top in enumerate(range(0, len(points), block)):
        skipped = index if own else 0
        gaps = torch.maximum(column_lows[skipped:] - highs[index], lows[index] - column_highs[skipped:])
        far = torch.linalg.vector_norm(gaps.clamp(min=0), ord=p, dim=1) > reach  # (column blocks,); NaN is not far
        for start, end in _runs(((~far).nonzero().squeeze(1) + skipped).tolist()):
            tiles += _columns(top, min(top + block, len(points)), start * block, min(end * block, m), block)
    return Sweep(rows, columns, tiles, positives=positives, negatives=not positives, own=own, mutual=own)


def _columns(top: int, bottom: int, left: int, right: int, block: int) -> Iterator[Tile]:
    width = max(block, MAX_COLUMNS)
    for start in range(left, right, width):
        yield Tile(top, bottom, start, min(start + width, right))


def _sorted(values: Tensor) -> tuple[Tensor, Tensor]:
    # NaN is within no window, and would lead a binary search astray.
    return torch.sort(torch.nan_to_num(values, nan=torch.inf, posinf=torch.inf, neginf=-torch.inf), stable=True)


def _block_edges(n: int, block: int, device: torch.device) -> tuple[Tensor, Tensor]:
    firsts = torch.arange(0, n, block, device=device)  # (blocks,)
    return firsts, (firsts + block - 1).clamp(max=n - 1)


def _boxes(ordered: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Smallest and largest coordinates of each block, (blocks, c) each."""
    blocks = torch.split(ordered, block)
    if len(ordered) == 0:
        return ordered, ordered
    return torch.stack([part.amin(dim=0) for part in blocks]), torch.stack([part.amax(dim=0) for part in blocks])


def _compact_order(points: Tensor, block: int) -> Tensor:
    """An order whose blocks of consecutive points are compact: halved again and again along the widest coordinate."""
    pending, ordered = [torch.arange(len(points), device=points.device)], []
    while pending:
        part = pending.pop()
        if len(part) <= block:
            ordered.append(part)
            continue
        inside = points[part]  # (part, c)
        widest = int((inside.amax(dim=0) - inside.amin(dim=0)).argmax())
        part = part[inside[:, widest].argsort(stable=True)]
        half = block * ((len(part) // block + 1) // 2)
        pending += [part[half:], part[:half]]
    return torch.cat(ordered)


def _runs(blocks: list[int]) -> Iterator[tuple[int, int]]:
    """Runs [start, end) of consecutive numbers."""
    start = 0
    for index in range(1, len(blocks) + 1):
        if index == len(blocks) or blocks[index] != blocks[index - 1] + 1:
            yield blocks[start], blocks[index - 1] + 1
            start = index
