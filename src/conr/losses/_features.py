"""What the regularizers share: checked inputs and reductions; what concerns pairs is in `conr.pairwise`."""

import torch
from torch import Tensor

from conr._tensor_checks import check_features, check_labels, check_weights

REDUCTIONS = ("mean", "sum", "none")


def checked(features: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Check the inputs; return features (n, d) and weights (n,) in float32 at least, and labels (n, k)."""
    check_features(features)
    n = len(features)
    dtype = torch.promote_types(features.dtype, torch.float32)
    labels = check_labels("labels", labels, n, features.device).detach()  # (n, k)
    if weights is None:
        weights = features.new_ones(n, dtype=dtype)
    weights = check_weights(weights, n, features.device).detach()  # (n,)
    return features.to(dtype), labels, weights.to(dtype)


def reduced(terms: Tensor, reduction: str) -> Tensor:
    """Mean over all samples, sum, or the terms (n,) themselves; the mean of no terms is 0."""
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / max(len(terms), 1)


def no_terms(features: Tensor) -> Tensor:
    """Zeros of shape (n,) that keep the graph, for a batch too small for any pair."""
    return features.mul(0).sum(dim=1)
