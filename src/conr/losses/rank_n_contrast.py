r"""Rank-N-Contrast: samples that are nearer by label should be nearer by features (Zha et al., NeurIPS 2023)."""

import math

import torch
from torch import Tensor

from conr.losses._common import FeatureLoss, check_settings, checked_features, no_terms, nothing, reduced
from conr.pairwise import Distance, distance_errors, euclidean_distances, label_distance


def rank_n_contrast_loss(
    features: Tensor,
    labels: Tensor,
    *,
    temperature: float = 2.0,
    distance: Distance = "l1",
    weights: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Contrast every pair with the pairs of the same anchor that are at least as far apart by their labels.

    $$\ell_i = \frac{1}{n - 1} \sum_{j \neq i} \Big[ -s_{ij} + \log \sum_{k \in S_{ij}} e^{s_{ik}} \Big], \qquad
      S_{ij} = \{k \neq i : d(y_i, y_k) \ge d(y_i, y_j)\}, \qquad L = \frac{1}{n} \sum_i w_i \ell_i$$

    $$s_{ij} = -\lVert z_i - z_j \rVert_2 / \tau$$

    Symbols: $z$ features, $y$ labels, $w$ weights, $d$ distance, $\tau$ temperature. Source: "Rank-N-Contrast: Learning
    Continuous Representations for Regression", NeurIPS 2023.

    The sums over all $S_{ij}$ of an anchor are partial sums over one order of its candidates, from the farthest label
    to the nearest: one sort and one cumulative log-sum-exp instead of a loop over pairs, exact also for ties.

    Differences from the paper and from the authors' code:

    - None in the value. The released code shifts its exponentials by a row maximum that includes the anchor itself, so
      that all of them can vanish and the logarithm is of 0; here the logarithm of a sum is never taken apart.
    - Distances that differ by rounding alone are equal, as 0.4 - 0.3 and 0.3 - 0.2 are.
    - Weights are ours; the paper has none.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,), (n, 1) or (n, k), in label units.
        temperature: positive, in units of feature distance.
        distance: ``"l1"`` (the paper's), ``"l2"``, ``"linf"``, ``"angular"``, or a function; see
            `conr.pairwise.label_distance`. Only the order of its values matters.
        weights: factor of each anchor's term, shape (n,); 1 if None.
        reduction: ``"mean"`` over all n samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,): float32, or float64 for float64 features. 0, with a graph, for fewer than two samples.

    Raises:
        ValueError: wrong rank, lengths or devices; temperature not positive; an unknown distance or reduction.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        n^2 (d + log n) time and n^2 memory. Differentiable once in features; equal features give no gradient to each
        other.

    Example:
        >>> import torch
        >>> features = torch.tensor([[0.0], [1.0], [4.0]])
        >>> rank_n_contrast_loss(features, torch.tensor([10.0, 11.0, 40.0]), temperature=1.0)
        tensor(0.0815)
    """
    check_settings(temperature=temperature, distance=distance, reduction=reduction)
    features, labels, weights = checked_features(features, labels, weights)
    n = len(features)
    if n < 2:
        return reduced(no_terms(features) + nothing(features, labels, weights), reduction)
    nearness = -label_distance(labels, labels, distance)  # (n, n)
    itself = torch.eye(n, dtype=torch.bool, device=features.device)  # (n, n)
    nearness, order = nearness.masked_fill(itself, math.inf).sort(dim=1)  # (n, n), (n, n); the anchor comes last
    nearness, order = nearness[:, :-1].contiguous(), order[:, :-1]  # (n, n - 1), (n, n - 1)
    similarities = -euclidean_distances(features) / temperature  # (n, n)
    similarities = similarities.gather(1, order)  # (n, n - 1)
    partial = similarities.logcumsumexp(dim=1)  # (n, n - 1)
    errors = distance_errors(labels, distance).to(nearness.dtype).gather(1, order)  # (n, n - 1), each of two distances
    last_tie = torch.searchsorted(nearness, nearness + 2 * errors, right=True) - 1  # (n, n - 1)
    terms = (partial.gather(1, last_tie) - similarities).mean(dim=1) * weights  # (n,)
    return reduced(terms + nothing(features, features, labels, weights), reduction)


class RankNContrastLoss(FeatureLoss):
    """Rank-N-Contrast as a module: stores and checks the hyper-parameters; `rank_n_contrast_loss` has the equation."""

    function = staticmethod(rank_n_contrast_loss)

    def __init__(self, *, temperature: float = 2.0, distance: Distance = "l1", reduction: str = "mean") -> None:
        super().__init__(temperature=temperature, distance=distance, reduction=reduction)
