r"""SupCon on binned labels: the contrastive loss of classification, as a baseline (Khosla et al., NeurIPS 2020)."""

import torch
from torch import Tensor

from conr._auto import Auto
from conr.losses._common import FeatureLoss, check_settings, checked_features, nothing, reduced
from conr.pairwise import Rule, Samples, bin_numbers, contrast


def supcon_loss(
    features: Tensor,
    labels: Tensor,
    *,
    bin_width: float,
    temperature: float = 0.1,
    weights: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Pull features of samples with the same bin of labels together; push all others apart, near or far.

    $$\ell_i = -\frac{1}{|P_i|} \sum_{j \in P_i} s_{ij} + \log \sum_{k \neq i} e^{s_{ik}}, \qquad
      P_i = \{j \neq i : b(y_i) = b(y_j)\}, \qquad L = \frac{1}{n} \sum_{i : P_i \neq \emptyset} w_i \ell_i$$

    $$s_{ij} = \cos(z_i, z_j) / \tau, \qquad b(y) = \lfloor y / \beta + 1/2 \rfloor$$

    Symbols: $z$ features, $y$ labels, $w$ weights, $\beta$ bin_width, $\tau$ temperature. Source: "Supervised
    Contrastive Learning", NeurIPS 2020, equation 2 ($L^{sup}_{out}$), with bins of the label as classes.

    It knows no order of labels: a sample one bin away is pushed as hard as one at the other end. What ConR gains over
    it is what the order of the labels and the model's own confusions are worth.

    Differences from the paper and from the authors' code:

    - An anchor without positives, which in classification with two views does not exist, contributes 0.
    - The released code's factor of temperature over base temperature is left to the coefficient of the loss.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,), (n, 1) or (n, k), in label units; with several dimensions, all must fall into the same bin.
        bin_width: $\beta$, positive, in label units. Bins are centred at its multiples.
        temperature: positive; smaller is harder.
        weights: factor of each anchor's term, shape (n,); 1 if None.
        reduction: ``"mean"`` over all n samples, ``"sum"``, or ``"none"``: shape (n,), 0 for anchors without positives.

    Returns:
        A scalar, or shape (n,): float32, or float64 for float64 features. Without positives 0, with a graph.

    Raises:
        ValueError: wrong rank, lengths or devices; bin_width or temperature not positive; an unknown reduction.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        n^2 d time; n^2 memory, and n d for large batches, by the engines of ConR. Differentiable once in features.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> supcon_loss(features, torch.tensor([10.0, 11.0, 40.0, 41.0]), bin_width=5.0, temperature=1.0)
        tensor(0.9575)
    """
    check_settings(bin_width=bin_width, temperature=temperature, reduction=reduction)
    features, labels, weights = checked_features(features, labels, weights)
    bins = bin_numbers(labels, bin_width)  # (n, k)
    # As ConR sees it: bins in place of labels, predictions that agree everywhere, and a push of 1.
    samples = Samples(features, bins, torch.zeros_like(bins))
    rule = Rule(window=0.5, distance="linf", distance_scale=0.0, push="exp", temperature=temperature, exact=True)
    log_total, mean_positive, positives, _ = contrast(samples, torch.ones_like(weights), rule)  # (n,) each
    # NOTE[DIFF]: an anchor without positives is left out, and no factor of temperature over base temperature.
    terms = torch.where(positives > 0, (log_total - mean_positive) * weights, 0)  # (n,)
    return reduced(terms + nothing(features, features, labels, weights), reduction)


class SupConLoss(FeatureLoss):
    """SupCon as a module: stores and checks the hyper-parameters; `supcon_loss` has the equation and all arguments.

    The bin width may be "auto": that of the label bins of the training (`conr.methods.resolve`).
    """

    function = staticmethod(supcon_loss)

    def __init__(self, *, bin_width: float | Auto, temperature: float = 0.1, reduction: str = "mean") -> None:
        super().__init__(bin_width=bin_width, temperature=temperature, reduction=reduction)
