r"""Tiles of the n x m similarities that a tiled engine visits: all of them, or those that can hold pairs.

A sweep is one walk: anchors and candidates in an order that brings pairs together, cut into blocks, and a list of
tiles, each a block of anchors against a block of candidates. Tiles may be too many, never too few: each pair is decided
again inside its tile, by the one pair rule (`conr.pairwise.pairs.find_pairs`). Tiles of one shape are visited many at
once, in batches.

A worked example: six labels, blocks of two, a window of 1. The sweep sorts the labels, and lists the tiles whose blocks
come within 1 of each other: each block with itself, 1.2 with 1.9 and 5.0 with 5.1.

    >>> labels = torch.tensor([[5.0], [1.0], [9.0], [1.9], [5.1], [1.2]])
    >>> halves = torch.full((6,), 0.5)  # of the window: labels are pairs if their distance is at most the sum
    >>> cut_ = Cut(block=2, in_place=3, copied=3)
    >>> sweep = box_sweep((labels, halves), None, distance="l2", cut=cut_, positives=True)
    >>> [round(label, 1) for label in labels[sweep.rows].flatten().tolist()]
    [1.0, 1.2, 1.9, 5.0, 5.1, 9.0]
    >>> for batch in sweep.batches:  # of tiles (row, column): (0, 1), (1, 2); and (0, 0), (1, 1), (2, 2)
    ...     print(batch.rows, batch.columns, (batch.tiles, batch.height, batch.width), batch.diagonal)
    tensor([0, 1]) tensor([1, 2]) (2, 2, 2) False
    slice(0, 3, None) slice(0, 3, None) (3, 2, 2) True

Tile (0, 2) is left out, as 1.2 and 5.1 are too far apart. Tiles below the diagonal are left out as well: pairs of one
set with itself are symmetric (for every named distance), so those above it serve both of their sides.

Labels of one dimension need no boxes: all pairs of a block are one interval of the sorted labels, that of 1.0 and 1.2
ends at 1.9. The whole interval is then one tile, a strip (`interval_sweep`): it ends closer to the window's edge than
whole blocks do, and operations are longer.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from conr.pairwise.distances import NORMS, box_coordinates

BATCH_NUMBERS = 2**18
"""Most similarities of a batch of tiles: 1 MB of float32 stays in cache, and is enough work for several threads."""

SHORTEST_RUN = 8  # fewest neighbouring tiles that are visited in place; others are copied together
STRIP = 512  # most candidates in a strip; longer intervals are several strips
STRIP_STEP = 16  # candidates by which strips differ, so that many have the same shape

STRIP_PADDING = 2**22
"""Most products of features that strips of a batch may waste to have one shape: about what another batch takes."""

Points = tuple[Tensor, Tensor]
"""Labels or predictions (n, k), and how far each reaches, (n,): see `conr.pairwise.pairs.Prepared`."""

Blocks = slice | Tensor  # numbers of blocks: consecutive ones, or int64 of shape (t,), which may repeat


class Batch(NamedTuple):
    """Some tiles of one shape."""

    rows: Blocks  # the block of anchors of each tile
    columns: Blocks  # its block of candidates, or the first one of a strip
    tiles: int  # how many, t
    height: int  # anchors in each tile: fewer in the last block, unless strips fill it up
    width: int  # candidates in each tile; above that of a block in a strip, whose blocks are slices
    diagonal: bool  # the first candidates of each tile are its anchors

    @property
    def area(self) -> int:
        """Number of similarities in the tiles."""
        return self.tiles * self.height * self.width


class Sweep(NamedTuple):
    """One walk over tiles that finds positives, negatives or both."""

    rows: Tensor  # (n,) int64: the order of the anchors
    columns: Tensor  # (m,) int64: the order of the candidates; `rows` itself where a set meets itself
    block: int
    batches: list[Batch]
    positives: bool
    negatives: bool
    own: bool  # the candidates are the anchors
    symmetric: bool  # tiles below the diagonal are left out, as they mirror those above it
    spare: int = 0  # blocks behind the last one that strips reach into: they must hold no pairs

    @property
    def area(self) -> int:
        """Number of similarities that the walk computes."""
        return sum(batch.area for batch in self.batches)


class Plan(NamedTuple):
    """The walks of a tiled engine."""

    sweeps: list[Sweep]
    # whether exponentials of all logits are known to fit; if not, each tile's largest logit is subtracted first, and
    # batches must hold one tile
    bounded: bool
    keepable: int  # most similarities that forward keeps for backward, of sweeps for positives or negatives only

    @property
    def area(self) -> int:
        """Number of similarities in the tiles."""
        return sum(sweep.area for sweep in self.sweeps)

    @property
    def kept(self) -> int:
        """Number of them that forward keeps for backward, about."""
        return min(self.keepable, sum(sweep.area for sweep in self.sweeps if sweep.positives != sweep.negatives))


class Cut(NamedTuple):
    """Division of a sweep into tiles and batches."""

    block: int  # rows and columns of a tile
    in_place: int  # most tiles of a batch of neighbours
    copied: int  # most tiles of other batches
    padding: int = STRIP_PADDING  # most similarities that a batch of strips may waste


def cut(block: int, d: int) -> Cut:
    """Batches of tiles that stay in cache, with features (n, d)."""
    tiles = max(BATCH_NUMBERS // block**2, 1)
    copied = max(min(tiles, 4 * BATCH_NUMBERS // (block * max(d, 1))), 1)
    return Cut(block, tiles, copied, STRIP_PADDING // max(d, 1))


def full_area(n: int, m: int, *, symmetric: bool, block: int) -> int:
    """Number of similarities that `full_sweep` computes."""
    return sum(min(block, n - top) * (m - (top if symmetric else 0)) for top in range(0, n, block))


def full_sweep(n: int, m: int, *, own: bool, symmetric: bool, cut: Cut, device: torch.device) -> Sweep:
    """Every tile (on and above the diagonal, if symmetric), for positives and negatives at once."""
    rows = torch.arange(n, device=device)  # (n,)
    columns = rows if own else torch.arange(m, device=device)  # (m,)
    tiles = torch.ones(_count(n, cut.block), _count(m, cut.block)).triu_(0 if symmetric else -n).nonzero()
    batches = list(_batches(tiles, n, m, cut, own=own))
    return Sweep(rows, columns, cut.block, batches, positives=True, negatives=True, own=own, symmetric=symmetric)


def interval_sweep(points: Points, others: Points | None, *, distance: str, cut: Cut, positives: bool) -> Sweep:
    """Tiles that hold all pairs of one-dimensional labels within a window: in sorted order, one interval per block.

    Args:
        points: labels (for positives) or predictions (for negatives) of the anchors, (n, 1), and their reaches.
        others: those of the candidates, (m, 1); None: the anchors themselves, symmetric.
        distance: the name of a distance.
        cut: size of tiles and batches.
        positives: whether the sweep finds positives; else negatives.
    """
    block, n = cut.block, len(points[0])
    lows, highs, rows = _sorted(*points, distance)  # (n,) each
    other_lows, other_highs, columns = (lows, highs, rows) if others is None else _sorted(*others, distance)  # (m,)
    blocks = torch.arange(_count(n, block), device=rows.device)  # (blocks,)
    last = ((blocks + 1) * block - 1).clamp_(max=n - 1)  # (blocks,)
    ends = torch.searchsorted(other_lows, highs[last], right=True)  # (blocks,)
    found = {"positives": positives, "negatives": not positives}
    if others is None:
        batches, spare = _strips((ends - blocks * block).tolist(), cut)
        return Sweep(rows, columns, block, batches, **found, own=True, symmetric=True, spare=spare)
    starts = torch.searchsorted(other_highs, lows[blocks * block])  # (blocks,)
    firsts = starts // block  # (blocks,): of candidates
    counts = (_count(ends, block) - firsts).clamp_(min=0)  # (blocks,)
    top = blocks.repeat_interleave(counts)  # (tiles,)
    skipped = (counts.cumsum(0) - counts).repeat_interleave(counts)  # (tiles,)
    left = firsts.repeat_interleave(counts) + torch.arange(len(top), device=top.device) - skipped  # (tiles,)
    batches = list(_batches(torch.stack((top, left), dim=1), n, len(columns), cut, own=False))
    return Sweep(rows, columns, block, batches, **found, own=False, symmetric=False)


def box_sweep(points: Points, others: Points | None, *, distance: str, cut: Cut, positives: bool) -> Sweep:
    """Tiles that hold all pairs of labels (n, k) within a window: blocks whose bounding boxes come close enough.

    Arguments are those of `interval_sweep`, with labels or predictions (n, k) and (m, k).
    """
    own, block = others is None, cut.block
    rows, lows, highs, reaches = _boxes(*points, distance, block)
    columns, column_lows, column_highs, column_reaches = (
        (rows, lows, highs, reaches) if others is None else _boxes(*others, distance, block)
    )
    near = []
    for index in range(len(lows)):
        skipped = index if own else 0
        gaps = torch.maximum(column_lows[skipped:] - highs[index], lows[index] - column_highs[skipped:])
        apart = torch.linalg.vector_norm(gaps.clamp_(min=0), ord=NORMS[distance], dim=1)  # (column blocks,)
        far = apart > column_reaches[skipped:] + reaches[index]  # (column blocks,); NaN is not far
        left = (~far).nonzero() + skipped  # (tiles, 1)
        near.append(torch.cat((torch.full_like(left, index), left), dim=1))
    tiles = torch.cat(near) if near else rows.new_empty(0, 2)  # (tiles, 2)
    batches = list(_batches(tiles, len(rows), len(columns), cut, own=own))
    return Sweep(rows, columns, block, batches, positives=positives, negatives=not positives, own=own, symmetric=own)


def _strips(lengths: list[int], cut: Cut) -> tuple[list[Batch], int]:
    """Cut intervals, of which each begins with its block of anchors, into batches of strips of one shape.

    Args:
        lengths: of the interval of each block.
        cut: how.

    Returns:
        The batches, and how many blocks behind the last one they reach into.
    """
    block, longest = cut.block, max(STRIP // cut.block, 1) * cut.block
    batches, end = [], len(lengths)
    for offset in range(0, max(lengths, default=0), longest):
        # At least a block: the last one may hold fewer samples.
        widths = [min(max(length, block) - offset, longest) for length in lengths]
        first = 0
        while first < len(widths):
            last, width, used = first, 0, 0  # strips first to last of the same width, in which `used` is not padding
            while last < len(widths) and widths[last] > 0:
                wider = max(width, min(_count(widths[last], STRIP_STEP) * STRIP_STEP, longest))
                area = (last + 1 - first) * block * wider
                padding = area - block * (used + widths[last])
                if last > first and (area > cut.in_place * block**2 or padding > cut.padding):
                    break
                last, width, used = last + 1, wider, used + widths[last]
            if last > first:
                columns = slice(first + offset // block, last + offset // block)
                batches.append(Batch(slice(first, last), columns, last - first, block, width, diagonal=offset == 0))
                end = max(end, columns.stop - 1 + _count(width, block))
            first = max(last, first + 1)
    return batches, end - len(lengths)


def _batches(tiles: Tensor, n: int, m: int, cut: Cut, *, own: bool) -> Iterator[Batch]:
    """Cut tiles (t, 2), given by their blocks of rows and columns, into batches of one shape."""
    block = cut.block
    tiles = tiles[((tiles[:, 1] - tiles[:, 0]) * _count(n, block) + tiles[:, 0]).argsort()]  # by diagonals
    top, left = tiles[:, 0], tiles[:, 1]  # (t,), (t,)
    shapes = 4 * (n - top * block < block) + 2 * (m - left * block < block) + ((top == left) & own)  # (t,)
    for shape in torch.unique(shapes).tolist():
        group = tiles[shapes == shape]  # (some, 2)
        row, column = group[0].tolist()
        shaped = min(block, n - row * block), min(block, m - column * block), bool(shape & 1)
        steps = group.diff(dim=0)  # (some - 1, 2): both 1 inside a run of neighbours along a diagonal
        breaks = (steps != 1).any(dim=1).nonzero().squeeze(1) + 1
        edges = [0, *breaks.tolist(), len(group)]
        scattered = []
        for start, end in pairwise(edges):
            if end - start < min(SHORTEST_RUN, cut.copied):
                scattered.append(group[start:end])
                continue
            row, column = group[start].tolist()
            for first in range(0, end - start, cut.in_place):
                last = min(first + cut.in_place, end - start)
                rows, columns = slice(row + first, row + last), slice(column + first, column + last)
                yield Batch(rows, columns, last - first, *shaped)
        for some in torch.split(torch.cat(scattered), cut.copied) if scattered else ():
            rows, columns = some.T.contiguous()
            yield Batch(rows, columns, len(some), *shaped)


def _count(n: Any, block: int) -> Any:
    """Number of blocks that hold n samples; n may be a tensor."""
    return (n + block - 1) // block


def _sorted(values: Tensor, reach: Tensor, distance: str) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (n, 1) in order: the least and the greatest value that each reaches, and its place before, (n,) each."""
    values, reach = box_coordinates(values, reach, distance)  # (n, 1), (n,)
    values = values.squeeze(1)  # (n,)
    on_cpu = values.device.type == "cpu"  # where NumPy's is several times as fast as torch's
    order = torch.from_numpy(np.argsort(values.numpy())) if on_cpu else values.argsort(stable=True)  # (n,)
    values, reach = values[order], reach[order]  # (n,), (n,)
    # NaN, which both sort to the end, is within no window, and would lead a binary search astray.
    reach = reach.nan_to_num(0, 0, 0)  # (n,)
    lows, highs = ((values + side * reach).nan_to_num(math.inf, math.inf, -math.inf) for side in (-1, 1))  # (n,) each
    return lows, highs, order


def _boxes(points: Tensor, reach: Tensor, distance: str, block: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An order (n,); smallest and largest coordinates of each block, (blocks, c) each; and its widest reach."""
    points, reach = box_coordinates(points, reach, distance)  # (n, c), (n,)
    order = _compact_order(points, block)  # (n,)
    if len(points) == 0:
        return order, points, points, reach
    blocks = torch.split(points[order], block)
    lows, highs = (torch.stack([one(part, dim=0) for part in blocks]) for one in (torch.amin, torch.amax))
    return order, lows, highs, torch.stack([part.amax() for part in torch.split(reach[order], block)])


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
