"""Indexing for blocked tensors, and scratch buffers that many computations use in turn.

A worked example: six samples in sorted order, cut into blocks of two, and sums that two tiles add to them. Each tile
holds one number per sample of its block; consecutive blocks are a slice, others a tensor of their numbers.

    >>> sums = torch.zeros(3, 2)  # (blocks, block)
    >>> add(sums, slice(1, 3), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))  # tiles whose rows are blocks 1 and 2
    >>> add(sums, torch.tensor([1, 1]), torch.tensor([[10.0, 10.0], [10.0, 10.0]]))  # two tiles for one block
    >>> sums.tolist()
    [[0.0, 0.0], [21.0, 22.0], [3.0, 4.0]]

A strip is a tile that is longer than a block: it begins with its block and goes on into the next ones.

    >>> add(sums, slice(0, 2), torch.tensor([[100.0] * 4, [200.0] * 4]))  # two strips of four, from blocks 0 and 1
    >>> sums.tolist()
    [[100.0, 100.0], [321.0, 322.0], [203.0, 204.0]]
    >>> at(sums, slice(0, 2), 4).tolist()  # a view of the same two strips: nothing is copied
    [[100.0, 100.0, 321.0, 322.0], [321.0, 322.0, 203.0, 204.0]]
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from conr.pairwise.sweeps import Blocks, Sweep


class Scratch:
    """Scratch buffers by name, which sweeps and batches of tiles use in turn: what one held before is lost."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A buffer of a shape, in the dtype and on the device of a tensor; its numbers are any."""
        size, key = math.prod(shape), (name, like.dtype)
        if key not in self._kept or len(self._kept[key]) < size:
            self._kept[key] = like.new_empty(size)
        return self._kept[key][:size].view(shape)

    def blocks(self, name: str, tensor: Tensor, order: Tensor, sweep: Sweep, *, fill: float | None = 0) -> Tensor:
        """A tensor (n, ...) in another order, cut into blocks (blocks, block, ...), with the spare ones of the sweep.

        Rows behind the n samples are filled with a number, or with the last sample if ``fill`` is None.
        """
        n = len(order)
        found = self.take(name, (-(-n // sweep.block) + sweep.spare, sweep.block, *tensor.shape[1:]), tensor)
        flat = found.flatten(0, 1)
        torch.index_select(tensor, 0, order, out=flat[:n])
        if n < len(flat):
            flat[n:] = flat[n - 1] if fill is None else fill
        return found


def at(tensor: Tensor, blocks: Blocks, length: int) -> Tensor:
    """View of ``length`` rows starting at each block of a tensor (blocks, block, ...): (t, length, ...)."""
    if not isinstance(blocks, slice):
        return tensor[blocks][:, :length]
    shape = (blocks.stop - blocks.start, length, *tensor.shape[2:])
    return tensor.as_strided(shape, tensor.stride(), tensor.storage_offset() + blocks.start * tensor.stride(0))


def shifted(blocks: Blocks, step: int) -> Blocks:
    """Blocks some steps later."""
    return slice(blocks.start + step, blocks.stop + step) if isinstance(blocks, slice) else blocks + step


def pieces(target: Tensor, blocks: Blocks, length: int) -> Iterator[tuple[slice, Tensor, Blocks]]:
    """The same rows, one block of each strip at a time.

    Yields:
        The part of a strip from 0 to length, the tensor up to that part's width, and the blocks in which it lies.
    """
    block = target.shape[1]
    for start in range(0, length, block):
        piece = slice(start, min(start + block, length))
        yield piece, target[:, : piece.stop - start], shifted(blocks, start // block) if start else blocks


def add(target: Tensor, blocks: Blocks, values: Tensor) -> None:
    """Add values (t, length) to the rows starting at each block of a tensor (blocks, block)."""
    for piece, part, where in pieces(target, blocks, values.shape[1]):
        if isinstance(where, slice):
            part[where].add_(values[:, piece])  # += would also write the view back
        else:
            part.index_add_(0, where, values[:, piece])


def add_product(target: Tensor, blocks: Blocks, first: Tensor, second: Tensor) -> None:
    """Add products of (t, length, c) and (t, c, d) to rows starting at each block of a tensor (blocks, block, d)."""
    for piece, part, where in pieces(target, blocks, first.shape[1]):
        if not isinstance(where, slice):
            part.index_add_(0, where, first[:, piece] @ second)
        elif part.is_contiguous():
            part[where].baddbmm_(first[:, piece], second)
        else:  # torch would take one tile after the other
            part[where].add_(first[:, piece] @ second)
