"""RankSim and Rank-N-Contrast as one would write them down, with a Python loop: the baselines of `benchmarks.peers`."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def _rank(values: Tensor) -> Tensor:
    """Rank over count of each number, (n,): 1/n for the largest."""
    order = values.argsort(descending=True)  # (n,)
    ranks = torch.empty_like(values)  # (n,)
    ranks[order] = torch.arange(1, len(values) + 1, dtype=values.dtype)
    return ranks / len(values)


class _BlackBoxRank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, interpolation: float) -> Tensor:
        ranks = _rank(values)  # (n,)
        ctx.save_for_backward(values, ranks)
        ctx.interpolation = interpolation
        return ranks

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        values, ranks = ctx.saved_tensors
        return (_rank(values + ctx.interpolation * grad) - ranks) / ctx.interpolation, None


def plain_ranksim(features: Tensor, labels: Tensor, *, interpolation: float) -> Tensor:
    """``conr.losses.ranksim_loss`` with reduction "sum", if no two labels or distances tie: row by row."""
    n = len(features)
    unit = F.normalize(features, dim=1)  # (n, d)
    similarity = unit @ unit.T  # (n, n)
    total = features.new_zeros(())
    for i in range(n):
        by_label = _rank(-(labels - labels[i]).abs())  # (n,)
        by_features = _BlackBoxRank.apply(similarity[i], interpolation)  # (n,)
        total = total + F.mse_loss(by_features, by_label.to(by_features.dtype))
    return total


def plain_rank_n_contrast(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """The loss of ``conr.losses.rank_n_contrast_loss``, one positive of every anchor at a time."""
    n = len(features)
    others = ~torch.eye(n, dtype=torch.bool)  # (n, n)
    between_labels = (labels.unsqueeze(1) - labels.unsqueeze(0)).abs()[others].view(n, n - 1)  # (n, n - 1)
    distance = (features.unsqueeze(1) - features.unsqueeze(0)).norm(dim=2)  # (n, n), through (n, n, d)
    logits = -distance[others].view(n, n - 1) / temperature  # (n, n - 1)
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()  # (n, n - 1)
    exponential = logits.exp()  # (n, n - 1)
    total = features.new_zeros(())
    for k in range(n - 1):
        farther = between_labels >= between_labels[:, k : k + 1]  # (n, n - 1)
        total = total + (logits[:, k] - (farther * exponential).sum(dim=1).log()).sum()
    return -total / (n * (n - 1))
