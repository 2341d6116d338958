"""The dense engine: all similarities at once, for the batch sizes of everyday training."""

import math
from typing import Any

import torch
from torch import Tensor

from conr.pairwise.unit import unit_vectors

LOG2_E = math.log2(math.e)


def contrast_dense(
    features: Tensor,
    positives: Tensor,
    log_weights: Tensor,
    *,
    temperature: float,
    other_features: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The two terms of a contrastive loss for every anchor.

    $$A_i = \log \sum_j e^{s_{ij} + u_{ij}}, \qquad B_i = \frac{1}{|P_i|} \sum_{j \in P_i} s_{ij}, \qquad
    s_{ij} = \cos(z_i, z_j) / \tau$$

    Symbols: $z$ features, $\tau$ temperature, $P_i$ positives, $u$ log-weights. The loss of anchor i is $A_i - B_i$.

    The backward pass is written out: it needs one product of matrices where autograd would make two, and gives a
    feature vector of zeros (common after ReLU) no gradient, where differentiating the normalisation would give it a
    huge one.

    Args:
        features: shape (n, d), float32 or float64.
        positives: shape (n, m), bool; m is n plus the number of other features.
        log_weights: shape (n, m), dtype of features: logarithm of each pair's weight in the sum, minus infinity for
            pairs outside it. Positives must have log-weight 0.
        temperature: positive.
        other_features: features of more candidates, which are no anchors: shape (m - n, d), dtype of features.

    Returns:
        $A$ and $B$, each of shape (n,), differentiable once with respect to all features. An anchor without pairs gets
        0.

    Notes:
        n m d time; saves two n x m matrices (one of them bool) and the normalised features.
    """
    others = None if other_features is None else unit_vectors(other_features)  # (m - n, d)
    if positives.shape[1] == 0:  # nothing to take the largest logit of
        nothing = features.sum(dim=1)  # (0,)
        return nothing, nothing
    return _Contrast.apply(  # type: ignore[no-any-return]
        unit_vectors(features), others, positives, log_weights, temperature
    )


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes arguments by position
        ctx: Any, unit: Tensor, others: Tensor | None, positives: Tensor, log_weights: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(unit.device.type, enabled=False):
            candidates = unit if others is None else torch.cat((unit, others))  # (m, d)
            logits = torch.addmm(log_weights, unit, candidates.T, alpha=1 / temperature)  # (n, m)
            count = positives.sum(dim=1, dtype=unit.dtype).clamp_(min=1)  # (n,)
            mean_positive = torch.where(positives, logits, 0).sum(dim=1) / count  # (n,)
            highest = logits.amax(dim=1, keepdim=True)  # (n, 1)
            highest = torch.where(highest.isinf(), 0, highest)  # an anchor without pairs has only -inf
            # Base 2, as exp takes many times as long on a CPU where it underflows: for every pair outside the sum.
            probabilities = (logits - highest).mul_(LOG2_E).exp2_()  # (n, m)
            total = probabilities.sum(dim=1, keepdim=True)  # (n, 1)
            empty = total == 0  # (n, 1)
            total = total.masked_fill(empty, 1)
            log_total = (total.log() + highest).squeeze(1)  # (n,); 0 for an anchor without pairs
            probabilities /= total
        ctx.save_for_backward(unit, others, positives, count, probabilities)
        ctx.temperature = temperature
        return log_total, mean_positive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_log_total: Tensor, grad_mean_positive: Tensor) -> tuple[Tensor | None, ...]:
        unit, others, positives, count, probabilities = ctx.saved_tensors
        n = len(unit)
        with torch.autocast(unit.device.type, enabled=False):
            grad_logits = probabilities * (grad_log_total / ctx.temperature).unsqueeze(1)  # (n, m)
            grad_logits += positives * (grad_mean_positive / (count * ctx.temperature)).unsqueeze(1)
            inside, outside = grad_logits[:, :n], grad_logits[:, n:]  # (n, n), (n, m - n)
            grad_unit = (inside + inside.T) @ unit  # (n, d); the similarity is symmetric in its two factors
            if others is None:
                return grad_unit, None, None, None, None
            return grad_unit.addmm_(outside, others), outside.T @ unit, None, None, None
