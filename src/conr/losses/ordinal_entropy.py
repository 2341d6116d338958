r"""Ordinal Entropy: spread the centres of labels by their distance, hold samples at them (Zhang et al., ICLR 2023)."""

import math

import torch
from torch import Tensor

from conr._auto import Auto
from conr._torch import product
from conr.losses._common import FeatureLoss, check_settings, checked_features, no_terms, nothing
from conr.pairwise import Distance, bin_numbers, equal_labels, euclidean_distances, label_distance, unit_vectors


def ordinal_entropy_loss(
    features: Tensor,
    labels: Tensor,
    *,
    diversity: float = 1.0,
    tightness: float = 1.0,
    bin_width: float | None = None,
    distance: Distance = "l2",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Raise the entropy of the features across labels, weighted by label distance, and lower it within a label.

    $$L = -\lambda_d L_d + \lambda_t L_t$$

    $$L_d = \frac{2}{U (U - 1)} \sum_{u < v} \frac{d(u, v) - d_{\min}}{d_{\max}} \lVert c_u - c_v \rVert, \qquad
      L_t = \frac{1}{|T|} \sum_{i \in T} w_i \Big\lVert \frac{z_i}{\lVert z_i \rVert} - c_{y_i} \Big\rVert$$

    $$c_u = m_u / \lVert m_u \rVert, \qquad m_u = \text{mean of } z_i \text{ with } y_i = u$$

    Symbols: $z$ features, $y$ labels (after rounding), $u, v$ the U distinct labels of the batch, $d_{\min}$ and
    $d_{\max}$ the extremes of $d(u, v)$ over pairs of them, $T$ samples that share their label with another, $w$
    weights, $\lambda_d$ diversity, $\lambda_t$ tightness. Source: "Improving Deep Regression with Ordinal Entropy",
    ICLR 2023, and its released code, which subtracts $d_{\min}$ (the nearest pair of labels does not repel) but divides
    by $d_{\max}$, not by $d_{\max} - d_{\min}$.

    Differences from the paper and from the authors' code:

    - $L_t$ leaves out samples that are alone with their label, where the released code leaves out distances that are
      zero: what rounding makes of them is no matter of chance.
    - ``bin_width`` is ours. Without it, continuous labels make each sample its own centre, and $L_t$ is 0.
    - One distinct label gives $L_d = 0$, where the released code fails. All centres take part, where the released code
      for synthetic data samples some.
    - Weights are ours; the paper has none.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,), (n, 1) or (n, k), in label units.
        diversity: $\lambda_d$, at least 0.
        tightness: $\lambda_t$, at least 0.
        bin_width: labels are rounded to its nearest multiple, in each dimension; positive, in label units. Not rounded
            if None.
        distance: ``"l1"``, ``"l2"``, ``"linf"``, ``"angular"``, or a function; see `conr.pairwise.label_distance`.
        weights: factor of each sample's term of $L_t$, shape (n,); 1 if None. $L_d$ has no terms of single samples.

    Returns:
        A scalar, float32, or float64 for float64 features; negative as soon as diversity prevails. 0, with a graph, for
        fewer than two samples.

    Raises:
        ValueError: wrong rank, lengths or devices; a negative coefficient; bin_width not positive; an unknown distance.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        n^2 d time and n^2 memory, whatever the number of labels: no shape depends on the values, so nothing waits for a
        GPU. Differentiable once in features.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> ordinal_entropy_loss(features, torch.tensor([1.0, 1.0, 2.0, 5.0]))
        tensor(0.0659)
    """
    check_settings(diversity=diversity, tightness=tightness, distance=distance)
    features, labels, weights = checked_features(features, labels, weights)
    n = len(features)
    if n < 2:
        return no_terms(features).sum() + nothing(features, labels, weights)
    if bin_width is not None:
        check_settings(bin_width=bin_width)
        labels = bin_numbers(labels, bin_width) * bin_width  # (n, k)
    equal = equal_labels(labels)  # (n, n)
    count = equal.sum(dim=1, keepdim=True)  # (n, 1)
    centers = unit_vectors(product(equal.to(features.dtype) / count, features))  # (n, d): one per sample, of its label

    earlier = torch.ones_like(equal).tril(-1)  # (n, n): row i, column j: j < i
    first = ~(equal & earlier).any(dim=1)  # (n,): the first sample of each label stands for it
    pairs = first.unsqueeze(1) & first & earlier  # (n, n): each pair of labels once
    between = label_distance(labels, labels, distance)  # (n, n)
    nearest = torch.where(pairs, between, math.inf).amin()
    farthest = torch.where(pairs, between, 0).amax()
    # NOTE[DIFF]: one distinct label has no pairs, and a diversity of 0.
    push = torch.where(pairs, (between - nearest) / torch.where(farthest > 0, farthest, 1), 0)  # (n, n)
    spread = (push.to(features.dtype) * euclidean_distances(centers)).sum() / pairs.sum().clamp(min=1)

    # NOTE[DIFF]: by count, not by a distance that rounding may or may not leave at exactly 0.
    shared = count.squeeze(1) > 1  # (n,)
    apart = torch.linalg.vector_norm(unit_vectors(features) - centers, dim=1)  # (n,)
    width = torch.where(shared, apart * weights, 0).sum() / shared.sum().clamp(min=1)
    return tightness * width - diversity * spread + nothing(features, features, labels, weights)


class OrdinalEntropyLoss(FeatureLoss):
    """Ordinal Entropy as a module: stores and checks the hyper-parameters; `ordinal_entropy_loss` has the equation.

    The bin width may be "auto": that of the label bins of the training (`conr.methods.resolve`).
    """

    function = staticmethod(ordinal_entropy_loss)
    optional = ("bin_width",)

    def __init__(
        self,
        *,
        diversity: float = 1.0,
        tightness: float = 1.0,
        bin_width: float | Auto | None = None,
        distance: Distance = "l2",
    ) -> None:
        super().__init__(diversity=diversity, tightness=tightness, bin_width=bin_width, distance=distance)
