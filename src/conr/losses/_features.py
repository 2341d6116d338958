"""What the regularizers share: checked inputs, unit vectors, products and distances of features, reductions."""

from typing import Any

import torch
from torch import Tensor

from conr._checks import check_features, check_labels, check_weights

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


def unit_rows(features: Tensor) -> Tensor:
    """Features over their norms, (n, d). A vector of zeros stays one and gets no gradient."""
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # (n, 1)
    is_zero = norms == 0  # (n, 1); false for NaN, which must not be hidden
    return torch.where(is_zero, 0, features / torch.where(is_zero, 1, norms))


def euclidean_distances(features: Tensor) -> Tensor:
    """Euclidean distances of all pairs of features, (n, n). Equal features have distance 0 and no gradient.

    Time n^2 d. Unlike `torch.cdist`, the backward pass needs no memory beyond n^2 + n d, and one product of matrices.
    """
    return _EuclideanDistances.apply(features)  # type: ignore[no-any-return]


class _EuclideanDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        # Not by products: these lose the small distances, and the zeros, to rounding.
        distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (n, n)
        ctx.save_for_backward(features, distances)
        return distances

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        features, distances = ctx.saved_tensors
        slopes = torch.where(distances == 0, 0, grad / distances)  # (n, n)
        slopes = slopes + slopes.T  # (n, n); each feature is the first of some pairs and the second of others
        with torch.autocast(grad.device.type, enabled=False):
            # Distances do not see a shift; centred features lose less to rounding in the difference below.
            centred = features - features.mean(dim=0)  # (n, d)
            grad_features: Tensor = slopes.sum(dim=1, keepdim=True) * centred - slopes @ centred  # (n, d)
        return grad_features


def rounded(labels: Tensor, bin_width: float | None) -> Tensor:
    """Labels (n, k) moved to the nearest multiple of a width (halves up), or as they are if it is None.

    Rounding rather than cutting at multiples: the float32 label 0.3 cannot fall out of the bin of 0.3 by its last bit.
    """
    labels = labels.to(torch.promote_types(labels.dtype, torch.float32))
    return labels if bin_width is None else torch.floor(labels / bin_width + 0.5) * bin_width


def equal_rows(labels: Tensor) -> Tensor:
    """Which pairs of labels (n, k) are equal in all dimensions, (n, n) bool."""
    return (labels.unsqueeze(1) == labels.unsqueeze(0)).all(dim=2)
