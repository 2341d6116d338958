"""The dense engine: all similarities at once, for the batch sizes of everyday training."""

from typing import Any

import torch
from torch import Tensor

from conr.pairwise.pairs import LOG2_E, NOTHING, Contrast, Prepared, Rule, find_pairs, log_push
from conr.pairwise.similarities import (
    are_ordinary,
    both_ways,
    can_look,
    products,
    through_unit_,
    unit_and_inverse,
    unit_vectors,
)


def contrast_pairs(batch: Prepared, others: Prepared | None, weights: Tensor, rule: Rule) -> Contrast:
    """Both terms of every anchor of a batch, with other candidates if there are any, by all pairs at once."""
    columns = batch
    if others is not None:
        columns = Prepared(batch.features, *map(torch.cat, zip(batch[1:], others[1:], strict=True)))
    # In place wherever possible: on a CPU, memory that is new to the process costs more than the arithmetic; and in
    # floats that are 0 or 1, as arithmetic with bools is much slower there.
    positives, negatives, between = find_pairs(batch, columns, rule, like=weights, diagonal=True)  # (n, m) each
    counts = positives.sum(dim=1), negatives.sum(dim=1)  # (n,), (n,)
    scaled = between.mul_(rule.distance_scale)  # (n, m)
    log_weights = log_push(scaled, rule.push).to(weights.dtype)  # (n, m)
    if rule.push != "exp":
        log_weights.clamp_(min=NOTHING)  # minus infinity times 0 would not be a number
    log_weights.add_(weights.log().clamp_(min=NOTHING).unsqueeze(1)).mul_(negatives)
    outside = negatives.add_(positives).sub_(1)  # (n, m): -1 for all that are no pairs
    log_weights.add_(outside, alpha=-NOTHING)
    del negatives, outside, scaled, between  # their memory serves the similarities
    log_total, mean_positive = contrast_dense(
        batch.features,
        positives,
        log_weights,
        temperature=rule.temperature,
        other_features=None if others is None else others.features,
    )
    return Contrast(log_total, mean_positive, *counts)


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

    Args:
        features: shape (n, d), float32 or float64.
        positives: shape (n, m), bool or 0 and 1 in the dtype of features; m is n plus the number of other features.
        log_weights: shape (n, m), dtype of features: logarithm of each pair's weight in the sum, minus infinity (or
            -1e30) for pairs outside it. Positives must have log-weight 0.
        temperature: positive.
        other_features: features of more candidates, which are no anchors: shape (m - n, d), dtype of features.

    Returns:
        $A$ and $B$, each of shape (n,), differentiable once with respect to all features. An anchor without pairs gets
        0.

    Notes:
        n m d time; saves two n x m matrices and the normalised features, or three matrices if d is not below m.
    """
    others = None if other_features is None else unit_vectors(other_features)  # (m - n, d)
    if positives.shape[1] == 0:  # nothing to take the largest logit of
        nothing = features.sum(dim=1)  # (0,)
        return nothing, nothing
    masks = positives.to(features.dtype)  # (n, m); floats are much faster than bools on a CPU
    return _Contrast.apply(features, others, masks, log_weights, temperature)  # type: ignore[no-any-return]


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes arguments by position
        ctx: Any, features: Tensor, others: Tensor | None, positives: Tensor, log_weights: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(features.device.type, enabled=False):
            # Logarithms have base 2: exp takes many times as long where it underflows, for every pair outside the sum.
            scale = LOG2_E / temperature
            # Of many features a copy of unit length costs more than passes over the products of features as they are.
            is_wide = features.shape[1] >= positives.shape[1] and can_look(features)
            if is_wide:
                vectors, similarity = features, products(features, others)  # (n, d), (n, m)
                norms = similarity.diagonal().sqrt().unsqueeze(1)  # (n, 1)
                is_wide = are_ordinary(norms)
            if is_wide:
                inverse_norms = norms.reciprocal()  # (n, 1)
                similarity.mul_(inverse_norms * scale)
                similarity[:, : len(features)].mul_(inverse_norms.T)
            else:
                vectors, inverse_norms = unit_and_inverse(features)  # (n, d), (n, 1)
                similarity = products(vectors, others, scale=scale)  # (n, m)
            count = positives.sum(dim=1).clamp_(min=1)  # (n,)
            scratch = similarity * positives  # (n, m)
            mean_positive = scratch.sum(dim=1).div_(count * LOG2_E)  # (n,)
            # Backward then takes sums over similarities instead of sums over features.
            kept, logits = (similarity, scratch) if is_wide else (None, similarity)
            torch.add(similarity, log_weights, alpha=LOG2_E, out=logits)  # (n, m)
            highest = logits.amax(dim=1, keepdim=True)  # (n, 1)
            highest.masked_fill_(highest < NOTHING / 2, 0)  # an anchor without pairs
            probabilities = logits.sub_(highest).exp2_()  # (n, m)
            total = probabilities.sum(dim=1, keepdim=True).clamp_(min=1)  # (n, 1); the highest is 1, unless all are 0
            probabilities.div_(total)
            log_total = total.log2_().add_(highest).squeeze(1).div_(LOG2_E)  # (n,); 0 for an anchor without pairs
        ctx.save_for_backward(vectors, inverse_norms, others, positives, count, probabilities, kept)
        ctx.temperature = temperature
        return log_total, mean_positive

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_log_total: Tensor, grad_mean_positive: Tensor) -> tuple[Tensor | None, ...]:
        vectors, inverse_norms, others, positives, count, probabilities, similarity = ctx.saved_tensors
        n = len(vectors)
        with torch.autocast(vectors.device.type, enabled=False):
            grad_logits = probabilities * (grad_log_total / ctx.temperature).unsqueeze(1)  # (n, m)
            grad_logits.addcmul_(positives, (grad_mean_positive / (count * ctx.temperature)).unsqueeze(1))
            inside, outside = grad_logits[:, :n], grad_logits[:, n:]  # (n, n), (n, m - n)
            inside = both_ways(inside)  # (n, n)
            if similarity is not None:
                along = (inside * similarity[:, :n]).sum(dim=1)  # (n,): of the gradient, what points along the vector
                if others is not None:
                    along += (outside * similarity[:, n:]).sum(dim=1)
                    outside.mul_(inverse_norms)
                inside.diagonal().sub_(along, alpha=ctx.temperature / LOG2_E)
                inside.mul_(inverse_norms).mul_(inverse_norms.T)
            grad = inside @ vectors  # (n, d)
            grad_others = None
            if others is not None:
                grad += outside @ others
                if ctx.needs_input_grad[1]:  # not of a memory's
                    grad_others = outside.T @ vectors  # (m - n, d)
            if similarity is None:
                through_unit_(grad, vectors, inverse_norms)
        return grad, grad_others, None, None, None
