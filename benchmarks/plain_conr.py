"""ConR as one would write it down, with full masks under autograd: the baselines.

`plain_conr` has a Python loop over the diagonal and exponentials as they stand; `vectorised_conr` is the careful form,
without a loop and by logsumexp.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def plain_conr(
    features: Tensor,
    labels: Tensor,
    predictions: Tensor,
    weights: Tensor,
    *,
    window: float,
    temperature: float,
    distance_scale: float,
) -> Tensor:
    """The loss of ``conr.conr_loss`` for one label dimension, push "exp" and weighted anchors, with n x n masks."""
    n = len(features)
    unit = F.normalize(features, dim=1)  # (n, d)
    similarity = unit @ unit.T / temperature  # (n, n)
    between_labels = (labels.unsqueeze(1) - labels.unsqueeze(0)).abs()  # (n, n)
    between_predictions = (predictions.unsqueeze(1) - predictions.unsqueeze(0)).abs()  # (n, n)
    positive = (between_labels <= window).to(similarity.dtype)  # (n, n)
    negative = ((between_labels > window) & (between_predictions <= window)).to(similarity.dtype)  # (n, n)
    for i in range(n):
        positive[i, i] = 0
    push = weights.unsqueeze(1) * torch.exp(distance_scale * between_labels)  # (n, n)
    exponential = similarity.exp()  # (n, n)
    denominator = (positive * exponential).sum(1) + (negative * push * exponential).sum(1)  # (n,)
    count = positive.sum(1)  # (n,)
    anchor = (count > 0) & (negative.sum(1) > 0)  # (n,)
    log_ratio = similarity - torch.where(anchor, denominator, 1).log().unsqueeze(1)  # (n, n)
    per_anchor = -(positive * log_ratio).sum(1) / count.clamp(min=1)  # (n,)
    return (weights * per_anchor * anchor).sum() / n


def vectorised_conr(
    features: Tensor,
    labels: Tensor,
    predictions: Tensor,
    weights: Tensor,
    *,
    window: float,
    temperature: float,
    distance_scale: float,
) -> Tensor:
    """The same as `plain_conr`; labels may also be (n, k), under the Euclidean distance."""
    n = len(features)
    unit = F.normalize(features, dim=1)  # (n, d)
    similarity = unit @ unit.T / temperature  # (n, n)
    labels, predictions = labels.reshape(n, -1), predictions.reshape(n, -1)  # (n, k), (n, k)
    exact = "donot_use_mm_for_euclid_dist"
    between_labels = torch.cdist(labels, labels, compute_mode=exact)  # (n, n)
    alike = between_labels <= window  # (n, n)
    negative = ~alike & (torch.cdist(predictions, predictions, compute_mode=exact) <= window)  # (n, n)
    positive = alike.fill_diagonal_(0)  # (n, n)
    log_push = weights.log().unsqueeze(1) + distance_scale * between_labels  # (n, n)
    logits = similarity + torch.where(negative, log_push, 0)  # (n, n)
    log_total = logits.masked_fill(~(positive | negative), -math.inf).logsumexp(1)  # (n,)
    count = positive.sum(1)  # (n,)
    per_anchor = log_total - (similarity * positive).sum(1) / count.clamp(min=1)  # (n,)
    anchor = (count > 0) & negative.any(1)  # (n,)
    return torch.where(anchor, weights * per_anchor, 0).sum() / n
