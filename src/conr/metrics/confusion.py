"""Probability that a sample is taken for one of another label in feature space, and the bound by ConR's loss."""

from typing import NamedTuple

import torch
from torch import Tensor

from conr._tensor_checks import check_features, check_labels, check_weights
from conr.pairwise import Distance, Push, Rule, cosine_similarities, pair_sets
from conr.pairwise.pairs import log_push, spoilt


class Confusion(NamedTuple):
    """Probabilities and bounds of `conr_confusion`, each of shape (n,); NaN for samples that are no anchors.

    Attributes:
        confusion: probability that a draw from the sample's keys is one of its negatives.
        bound: what the loss of the anchor says that it is at most.
        pushed: the same probability with the push weights of ConR in it.
        pushed_bound: its bound.
    """

    confusion: Tensor
    bound: Tensor
    pushed: Tensor
    pushed_bound: Tensor


@torch.no_grad()
def conr_confusion(
    features: Tensor,
    labels: Tensor,
    predictions: Tensor,
    *,
    window: float,
    temperature: float = 0.07,
    distance_scale: float = 0.01,
    push: Push = "exp",
    distance: Distance = "l2",
    weights: Tensor | None = None,
) -> Confusion:
    r"""Probability of taking an anchor for a sample of another label, and the bound that its ConR loss gives.

    $$\Pi_i = \frac{\sum_{q \in Q_i} e^{s_{iq}}}{\sum_{p \in P_i} e^{s_{ip}} + \sum_{q \in Q_i} e^{s_{iq}}}
      \;\le\; \frac{r_i}{r_i + m_i}, \qquad r_i = \frac{e^{\ell_i}}{|P_i|} - 1, \qquad m_i = \min_{q \in Q_i} S_{iq}$$

    Symbols: as in `conr_loss`, with $\ell_i$ the anchor's loss without $a_i$. A soft nearest neighbour answers for the
    anchor with the label of a key of $P_i \cup Q_i$, drawn by $e^{s}$: $\Pi_i$ is the probability that the label is not
    the anchor's. With the push weights in the draw, $S_{iq} e^{s_{iq}}$ for negatives, the probability is ``pushed``
    and its bound $1 - |P_i| e^{-\ell_i}$. As $m_i \ge w_i e^{\eta \omega}$ with ``push="exp"``, the same loss is a
    stricter bound for a rarer anchor. Source: ours, in the spirit of the theorem of the ConR paper; the documentation
    page of ConR derives it and states what it assumes.

    Arguments are those of `conr_loss`.

    Returns:
        Probabilities and bounds, float32 or float64, without gradient. The bounds hold up to rounding. They are
        equalities where the positives are equally similar and, without the push weights, the negatives equally pushed.

    Raises:
        ValueError, TypeError: as `conr_loss`.

    Notes:
        All pairs at once: n^2 d time and n^2 memory.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> labels, predictions = torch.tensor([1.0, 1.0, 9.0]), torch.tensor([5.0, 5.0, 5.0])
        >>> found = conr_confusion(features, labels, predictions, window=1.0, temperature=0.5, distance_scale=0.1)
        >>> [[round(value, 4) for value in part.tolist()] for part in (found.confusion, found.bound)]
        [[0.1192, 0.1192, nan], [0.1192, 0.1192, nan]]
    """
    Rule(window, distance, distance_scale, push, temperature).check()
    check_features(features)
    n = len(features)
    labels = check_labels("labels", labels, n, features.device)  # (n, k)
    predictions = check_labels("predictions", predictions, n, features.device)  # (n, k)
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    weights = features.new_ones(n) if weights is None else check_weights(weights, n, features.device).to(features.dtype)
    if n == 0:  # nothing to take the least push of
        return Confusion(*(features.new_empty(0) for _ in Confusion._fields))
    positives, negatives, distances = pair_sets(labels, predictions, window=window, distance=distance)
    similarity = cosine_similarities(features) / temperature + spoilt(labels) + spoilt(predictions)  # (n, n)
    pushes = weights.log().unsqueeze(1) + log_push(distance_scale * distances.to(features.dtype), push)  # (n, n)

    nothing = -torch.inf
    near = similarity.masked_fill(~positives, nothing).logsumexp(dim=1)  # (n,): log A_i
    far = similarity.masked_fill(~negatives, nothing).logsumexp(dim=1)  # (n,)
    pushed_far = (similarity + pushes).masked_fill(~negatives, nothing).logsumexp(dim=1)  # (n,): log B_i
    count = positives.sum(dim=1).to(features.dtype)  # (n,)
    mean = similarity.masked_fill(~positives, 0).sum(dim=1) / count  # (n,)
    loss = torch.logaddexp(near, pushed_far) - mean  # (n,): l_i
    excess = (loss - count.log()).clamp(min=0)  # (n,): log(1 + r_i); rounding may go below 0
    log_ratio = excess + torch.log(-torch.expm1(-excess))  # (n,): log r_i
    least = pushes.masked_fill(~negatives, torch.inf).amin(dim=1)  # (n,): log m_i
    is_anchor = positives.any(dim=1) & negatives.any(dim=1)  # (n,)
    found = (
        torch.sigmoid(far - near),
        torch.sigmoid(log_ratio - least),
        torch.sigmoid(pushed_far - near),
        -torch.expm1(-excess),
    )
    return Confusion(*(value.where(is_anchor, torch.nan) for value in found))
