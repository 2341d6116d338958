"""Numbers of samples cut into blocks, and memory that many computations use in turn."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from conr.pairwise.sweeps import Blocks, Sweep


class Scratch:
    """Memory that sweeps and batches of tiles use in turn, by name."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Numbers of any value; what the name held is lost."""
        size, key = math.prod(shape), (name, like.dtype)
        if key not in self._kept or len(self._kept[key]) < size:
            self._kept[key] = like.new_empty(size)
        return self._kept[key][:size].view(shape)

    def blocks(self, name: str, tensor: Tensor, order: Tensor, sweep: Sweep, *, fill: float | None = 0) -> Tensor:
        """A tensor (n, ...) in another order, in blocks (blocks, block, ...), with the spare ones of the sweep.

        What is left behind the n samples is filled with a number, or with the last sample (None).
        """
        n = len(order)
        found = self.take(name, (-(-n // sweep.block) + sweep.spare, sweep.block, *tensor.shape[1:]), tensor)
        flat = found.flatten(0, 1)
        torch.index_select(tensor, 0, order, out=flat[:n])
        if n < len(flat):
            flat[n:] = flat[n - 1] if fill is None else fill
        return found


def at(tensor: Tensor, blocks: Blocks, length: int) -> Tensor:
    """What begins with some blocks of a tensor (blocks, block, ...): (t, length, ...)."""
    if not isinstance(blocks, slice):
        return tensor[blocks][:, :length]
    shape = (blocks.stop - blocks.start, length, *tensor.shape[2:])
    return tensor.as_strided(shape, tensor.stride(), tensor.storage_offset() + blocks.start * tensor.stride(0))


def shifted(blocks: Blocks, step: int) -> Blocks:
    """The blocks that come some steps later."""
    return slice(blocks.start + step, blocks.stop + step) if isinstance(blocks, slice) else blocks + step


def pieces(target: Tensor, blocks: Blocks, length: int) -> Iterator[tuple[slice, Tensor, Blocks]]:
    """What begins with some blocks of a tensor (blocks, block, ...), piece by piece.

    Yields:
        Which of the numbers from 0 to length the piece holds, the tensor (blocks, piece, ...), and the piece's blocks.
    """
    block = target.shape[1]
    for start in range(0, length, block):
        piece = slice(start, min(start + block, length))
        yield piece, target[:, : piece.stop - start], shifted(blocks, start // block) if start else blocks


def add(target: Tensor, blocks: Blocks, values: Tensor) -> None:
    """Add values (t, length) to what begins with some blocks of a tensor (blocks, block)."""
    for piece, part, where in pieces(target, blocks, values.shape[1]):
        if isinstance(where, slice):
            part[where].add_(values[:, piece])  # += would also write the view back
        else:
            part.index_add_(0, where, values[:, piece])


def add_product(target: Tensor, blocks: Blocks, first: Tensor, second: Tensor) -> None:
    """Add products of matrices (t, length, c) and (t, c, d) to what begins with some blocks of (blocks, block, d)."""
    for piece, part, where in pieces(target, blocks, first.shape[1]):
        if not isinstance(where, slice):
            part.index_add_(0, where, first[:, piece] @ second)
        elif part.is_contiguous():
            part[where].baddbmm_(first[:, piece], second)
        else:  # torch would take one tile after the other
            part[where].add_(first[:, piece] @ second)
