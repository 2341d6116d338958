"""Batches of all processes that train together, with gradient."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from conr._torch import outside_graphs
from conr.pairwise.pairs import Samples

_DTYPES = tuple(dict.fromkeys(value for value in vars(torch).values() if isinstance(value, torch.dtype)))


def world_size() -> int:
    """Number of processes that train together; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@outside_graphs
def gather_samples(samples: Samples) -> list[Samples]:
    r"""The batch of every process, in the order of ranks; batches may have different sizes, also none.

    Features of other processes carry a gradient: the backward pass adds up, for each sample, what all processes found,
    so every process must run it. Labels and predictions carry none.

    Args:
        samples: the batch of this process: (n, d), (n, k), (n, k). d, k and dtypes are the same everywhere.

    Returns:
        One batch per process; at the own rank the given one.

    Raises:
        ValueError: d, k or a dtype differ between processes; raised on all of them.

    Notes:
        Three all_gather and, backward, one all_reduce of all features. A GPU is waited for once, to learn the sizes.
    """
    k = samples.labels.shape[1]
    own_keys = torch.cat((samples.labels, samples.predictions), dim=1).detach()  # (n, 2 k)
    dtypes = (_DTYPES.index(samples.features.dtype), _DTYPES.index(own_keys.dtype))
    shape = torch.tensor([*samples.features.shape, k, *dtypes], device=samples.features.device)  # (5,)
    shapes = [torch.empty_like(shape) for _ in range(world_size())]
    dist.all_gather(shapes, shape)
    numbers, *kinds = zip(*torch.stack(shapes).tolist(), strict=True)  # each of one per process
    lengths = list(numbers)
    if any(len(set(kind)) > 1 for kind in kinds):
        told = [[d, columns, *(_DTYPES[one] for one in types)] for d, columns, *types in zip(*kinds, strict=True)]
        raise ValueError(f"gather: expected equal feature and label dimensions and dtypes on all processes, got {told}")
    features = _GatherRows.apply(samples.features, lengths)
    keys = _gather_rows(own_keys, lengths)
    gathered = [
        Samples(part, key[:, :k].to(samples.labels.dtype), key[:, k:].to(samples.predictions.dtype))
        for part, key in zip(features, keys, strict=True)
    ]
    gathered[dist.get_rank()] = samples
    return gathered


def join(batches: list[Samples]) -> Samples:
    """Several batches as one."""
    return Samples(*(torch.cat(tensors) for tensors in zip(*batches, strict=True)))


def _gather_rows(rows: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    # Padded to the longest, as collectives want equal shapes.
    padded = rows.new_zeros(max(lengths), rows.shape[1])  # (longest, c)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return [part[:length] for part, length in zip(parts, lengths, strict=True)]


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, lengths: Sequence[int]) -> tuple[Tensor, ...]:
        ctx.lengths = lengths
        return tuple(_gather_rows(rows, lengths))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        lengths, rank = ctx.lengths, dist.get_rank()
        total = grads[0].new_zeros(len(lengths), max(lengths), grads[0].shape[1])  # (world, longest, c)
        for owner, grad in enumerate(grads):
            total[owner, : lengths[owner]] = grad
        dist.all_reduce(total)
        return total[rank, : lengths[rank]], None
