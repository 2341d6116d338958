r"""RankSim: neighbours in label space should be neighbours in feature space (Gong, Mori, Tung, ICML 2022)."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from conr.losses._common import FeatureLoss, check_settings, checked_features, no_terms, nothing, reduced
from conr.pairwise import Distance, cosine_similarities, distance_errors, equal_labels, label_distance


def ranksim_loss(
    features: Tensor,
    labels: Tensor,
    *,
    interpolation: float = 2.0,
    deduplicate: bool = True,
    distance: Distance = "l2",
    weights: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Match, for every sample, the order of the others by similarity of features with the order by labels.

    $$\ell_i = \frac{1}{M} \sum_j (f_{ij} - a_{ij})^2, \qquad
      f_{i\cdot} = \mathrm{rk}(\cos(z_i, z_\cdot)), \quad a_{i\cdot} = \mathrm{rk}(-d(y_i, y_\cdot)), \qquad
      L = \frac{1}{M} \sum_i w_i \ell_i$$

    $\mathrm{rk}$ gives the largest of M numbers the rank $1/M$ and the smallest the rank 1. Numbers that are equal
    share the mean of their ranks: labels $y_i \pm d$ tie in row i (up to rounding), and with the mean neither the
    order of the samples nor the sorting algorithm of a device decides between them.

    Ranks are piecewise constant. Their gradient is the black-box one of Vlastelica et al. (ICLR 2020):

    $$\frac{\partial \ell_i}{\partial x_{ij}} := \frac{1}{\lambda} \Big[ \mathrm{rk}\Big( x_i + \lambda
      \frac{\partial \ell_i}{\partial f_i} \Big) - \mathrm{rk}(x_i) \Big]_j, \qquad x_{ij} = \cos(z_i, z_j)$$

    Symbols: $z$ features, $y$ labels, $w$ weights, $d$ distance, $\lambda$ interpolation, $M$ samples that take part.
    Source: "RankSim: Ranking Similarity Regularization for Deep Imbalanced Regression", ICML 2022.

    Differences from the paper and from the authors' code:

    - The mean over the rows where the released code has the sum, which grows with the batch.
    - The released code lets the black-box gradient see what multiplies the loss: a coefficient $\gamma$ acts as an
      interpolation of $\gamma\lambda$, and the loss scale of float16 training as one that is so large that the gradient
      vanishes. Here $\lambda$ belongs to $\ell_i$ and the gradient is proportional to any factor. With ``"sum"``, the
      published pair $(\gamma, \lambda)$ is a coefficient of $\gamma$ and an interpolation of $\gamma\lambda$, exactly.
    - Ties share the mean rank; the released code leaves them to an unstable sort.
    - Random numbers come from torch, not from Python.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,), (n, 1) or (n, k), in label units.
        interpolation: $\lambda$, positive: how far the ranks are looked at around the present similarities.
        deduplicate: whether only one sample of each distinct label takes part, drawn at random (torch's generator), so
            that frequent labels do not outvote rare ones. Has no effect on continuous labels, which are all distinct.
        distance: ``"l1"``, ``"l2"``, ``"linf"``, ``"angular"``, or a function; see `conr.pairwise.label_distance`.
        weights: factor of each sample's term, shape (n,); 1 if None.
        reduction: ``"mean"`` over the M samples that take part, ``"sum"``, or ``"none"``: shape (n,), 0 for those that
            do not.

    Returns:
        A scalar, or shape (n,): float32, or float64 for float64 features; in [0, 1] without weights, unless a sum.

    Raises:
        ValueError: wrong rank, lengths or devices; interpolation not positive; an unknown distance or reduction.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        n^2 (d + log n) time and n^2 memory, without loops and without waiting for a GPU.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> ranksim_loss(features, torch.tensor([10.0, 11.0, 40.0, 42.0]))
        tensor(0.0391)
    """
    check_settings(interpolation=interpolation, distance=distance, reduction=reduction)
    features, labels, weights = checked_features(features, labels, weights)
    n = len(features)
    if n == 0:
        return reduced(no_terms(features), reduction)
    similarities = cosine_similarities(features)  # (n, n)
    nearness = -label_distance(labels, labels, distance)  # (n, n)
    takes_part = _one_of_each(labels) if deduplicate else weights.new_ones(n, dtype=torch.bool)  # (n,)
    errors = distance_errors(labels, distance).to(nearness.dtype)  # (n, n)
    terms = _RankError.apply(similarities, nearness, errors, takes_part, interpolation)  # (n,)
    terms = torch.where(takes_part, terms * weights, 0) + nothing(features, features, labels, weights)  # (n,)
    # NOTE[DIFF]: the released code has the sum.
    return terms.sum() / takes_part.sum() if reduction == "mean" else reduced(terms, reduction)


def _one_of_each(labels: Tensor) -> Tensor:
    """One sample of each distinct label, drawn at random: (n,) bool. Its shape does not depend on the labels."""
    # NOTE[DIFF]: torch draws, whose generator is seeded and saved with the run; in the released code Python does.
    priority = torch.randperm(len(labels), device=labels.device)  # (n,)
    before = priority.unsqueeze(0) < priority.unsqueeze(1)  # (n, n)
    return ~(equal_labels(labels) & before).any(dim=1)


def _ranks(values: Tensor, errors: Tensor | None = None) -> Tensor:
    """Rank of each number in its row, (n, m): 1 for the largest; equal numbers share the mean of their ranks.

    With errors (n, m), those of two neighbours in that order may make up what they differ by.
    """
    # NOTE[DIFF]: the released code leaves ties to the order in which a sort happens to put them.
    m = values.shape[1]
    descending, order = values.sort(dim=1, descending=True)  # (n, m), (n, m)
    if errors is None:
        differs = descending[:, 1:] != descending[:, :-1]  # (n, m - 1)
    else:
        differs = descending[:, :-1] - descending[:, 1:] > 2 * errors.gather(1, order)[:, 1:]  # (n, m - 1)
    position = torch.arange(1, m + 1, dtype=values.dtype, device=values.device)  # (m,)
    # Of each run of equal numbers the first and the last position.
    first = torch.where(F.pad(differs, (1, 0), value=True), position, 0).cummax(dim=1).values  # (n, m)
    ends = torch.where(F.pad(differs, (0, 1), value=True), position, m)  # (n, m)
    last = ends.flip(1).cummin(dim=1).values.flip(1)  # (n, m)
    return torch.empty_like(values).scatter_(1, order, (first + last) / 2)


class _RankError(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes arguments by position
        ctx: Any, similarities: Tensor, nearness: Tensor, errors: Tensor, takes_part: Tensor, interpolation: float
    ) -> Tensor:
        count = takes_part.sum()
        # What does not take part ranks last in every row, behind all others, whose ranks it does not change.
        hidden = similarities.masked_fill(~takes_part, -math.inf)  # (n, n)
        ranks = _ranks(hidden) / count  # (n, n)
        label_ranks = _ranks(nearness.masked_fill(~takes_part, -math.inf), errors)  # (n, n)
        apart = ranks - label_ranks.to(ranks.dtype) / count  # (n, n)
        apart = torch.where(takes_part, apart, 0)  # (n, n)
        ctx.save_for_backward(hidden, ranks, apart, count)
        ctx.interpolation = interpolation
        terms = apart.square().sum(dim=1) / count  # (n,)
        return terms.masked_fill(similarities.isnan().any(dim=1), math.nan)  # ranks alone would hide a NaN

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_terms: Tensor) -> tuple[Tensor, None, None, None, None]:
        hidden, ranks, apart, count = ctx.saved_tensors
        # NOTE[DIFF]: the slope is that of the row's own term. What multiplies it in the total loss multiplies the
        # gradient; in the released code it also stretches the interpolation, and loss scaling makes it vanish.
        slopes = 2 * apart / count  # (n, n)
        moved = _ranks(hidden + ctx.interpolation * slopes) / count  # (n, n)
        return grad_terms.unsqueeze(1) * (moved - ranks) / ctx.interpolation, None, None, None, None


class RankSimLoss(FeatureLoss):
    """RankSim as a module: stores and checks the settings; `ranksim_loss` has the equation and all arguments."""

    function = staticmethod(ranksim_loss)

    def __init__(
        self,
        *,
        interpolation: float = 2.0,
        deduplicate: bool = True,
        distance: Distance = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__(interpolation=interpolation, deduplicate=deduplicate, distance=distance, reduction=reduction)
