r"""Cross-batch memory: compare a batch with samples of earlier batches (Wang et al., CVPR 2020)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conr._checks import check_whole
from conr.losses.conr import ConRLoss
from conr.pairwise import Samples, gather_samples, join, world_size


class CrossBatchMemory(nn.Module):
    r"""ConR of a batch against itself and the last ``size`` samples before it, first in, first out.

    Rare labels have few partners in a small batch; the memory gives them more, at the cost of features that are some
    steps old. Source: "Cross-Batch Memory for Embedding Learning", CVPR 2020, with ConR as its pair loss. Remembered
    samples are candidates, never anchors, and get no gradient.

    Args:
        regularizer: how batch and memory are compared.
        size: how many samples are remembered; positive.

    Attributes:
        encode: gets the number n of samples of the batch and returns the features (n, d) and predictions, (n,) or
            (n, k), that are remembered of it; None remembers those of the batch. `conr.training.MomentumMemory` sets
            it to an encoder that changes slowly.

    Notes:
        With several processes each remembers the batches of all, so that all memories are equal. Only in training mode
        is a batch remembered. The memory is part of the state dict; loading one replaces it, whatever its length.

    Example:
        >>> import torch
        >>> regularizer = CrossBatchMemory(ConRLoss(window=1.0, temperature=0.5), size=3)
        >>> batch = torch.eye(2), torch.tensor([1.0, 9.0]), torch.tensor([5.0, 5.0])
        >>> regularizer(*batch), regularizer(*batch)  # no positives in the batch, but in the memory
        (tensor(0.), tensor(0.2571))
        >>> regularizer.labels.squeeze(1)
        tensor([9., 1., 9.])
    """

    features: Tensor
    labels: Tensor
    predictions: Tensor

    def __init__(self, regularizer: ConRLoss, *, size: int) -> None:
        super().__init__()
        check_whole("size", size, low=1)
        if not isinstance(regularizer, ConRLoss):
            raise TypeError(f"regularizer: expected a ConRLoss, got {type(regularizer).__name__}")
        self.regularizer = regularizer
        self.size = size
        self.encode: Callable[[int], tuple[Tensor, Tensor]] | None = None
        for name in Samples._fields:
            self.register_buffer(name, torch.empty(0, 0))

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        """Loss of a batch: features (n, d), labels and predictions (n,) or (n, k), weights (n,) or None."""
        remembered = Samples(self.features, self.labels, self.predictions) if len(self.features) else None
        loss: Tensor = self.regularizer(features, labels, predictions, weights, candidates=remembered)
        if self.training:
            if self.encode is not None:
                features, predictions = self.encode(len(features))
            self._remember(Samples(features, labels, predictions))
        return loss

    @torch.no_grad()
    def _remember(self, batch: Samples) -> None:
        new = Samples(*(tensor.unsqueeze(1) if tensor.ndim == 1 else tensor for tensor in batch))
        if world_size() > 1:
            new = join(gather_samples(new))
        # Out of place: the loss may not have run its backward pass yet.
        for name, old, tensor in zip(Samples._fields, (self.features, self.labels, self.predictions), new, strict=True):
            kept = torch.cat((old, tensor)) if len(old) else tensor
            setattr(self, name, kept[-self.size :].detach().clone())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        for name in Samples._fields:
            if (stored := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(stored, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
