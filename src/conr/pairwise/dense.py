"""The dense engine: all n x n similarities at once, for the batch sizes of everyday training."""

from typing import Any

import torch
from torch import Tensor


def contrast_dense(
    features: Tensor, positives: Tensor, log_weights: Tensor, *, temperature: float
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
        positives: shape (n, n), bool.
        log_weights: shape (n, n), dtype of features: logarithm of each pair's weight in the sum, minus infinity for
            pairs outside it. Positives must have log-weight 0.
        temperature: positive.

    Returns:
        $A$ and $B$, each of shape (n,), differentiable once with respect to features. An anchor without pairs gets 0.

    Notes:
        n^2 d time; saves two n x n matrices (one of them bool) and the normalised features.
    """
    if len(features) == 0:  # nothing to take the largest logit of
        nothing = features.sum(dim=1)  # (0,)
        return nothing, nothing
    return _Contrast.apply(features, positives, log_weights, temperature)  # type: ignore[no-any-return]


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, positives: Tensor, log_weights: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(features.device.type, enabled=False):
            norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (n, 1)
            inverse_norms = torch.where(norms > 0, 1 / norms, 0)  # (n, 1)
            unit = features * inverse_norms  # (n, d)
            logits = torch.addmm(log_weights, unit, unit.T, alpha=1 / temperature)  # (n, n)
            count = positives.sum(dim=1, dtype=features.dtype).clamp_(min=1)  # (n,)
            mean_positive = torch.where(positives, logits, 0).sum(dim=1) / count  # (n,)
            highest = logits.amax(dim=1, keepdim=True)  # (n, 1)
            highest = torch.where(highest.isinf(), 0, highest)  # an anchor without pairs has only -inf
            probabilities = (logits - highest).exp_()  # (n, n)
            total = probabilities.sum(dim=1, keepdim=True)  # (n, 1)
            empty = total == 0  # (n, 1)
            total = total.masked_fill(empty, 1)
            log_total = (total.log() + highest).squeeze(1)  # (n,); 0 for an anchor without pairs
            probabilities /= total
        ctx.save_for_backward(unit, inverse_norms, positives, count, probabilities)
        ctx.temperature = temperature
        return log_total, mean_positive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_log_total: Tensor, grad_mean_positive: Tensor) -> tuple[Tensor, None, None, None]:
        unit, inverse_norms, positives, count, probabilities = ctx.saved_tensors
        with torch.autocast(unit.device.type, enabled=False):
            grad_logits = probabilities * (grad_log_total / ctx.temperature).unsqueeze(1)  # (n, n)
            grad_logits += positives * (grad_mean_positive / (count * ctx.temperature)).unsqueeze(1)
            grad_unit = (grad_logits + grad_logits.T) @ unit  # (n, d); the similarity is symmetric in its two factors
            along = (grad_unit * unit).sum(dim=1, keepdim=True)  # (n, 1)
            grad_features = torch.addcmul(grad_unit, unit, along, value=-1).mul_(inverse_norms)  # (n, d)
        return grad_features, None, None, None
