r"""SupCon on binned labels: the contrastive loss of classification, as a baseline (Khosla et al., NeurIPS 2020)."""

import math

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number
from conr.losses._features import REDUCTIONS, checked, equal_rows, reduced, rounded
from conr.pairwise import contrast_dense


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
        n^2 d time and n^2 memory. Labels and weights are constants; differentiable once in features. Arithmetic is
        float32 at least, also under autocast. A NaN in the features is a NaN in the loss.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> supcon_loss(features, torch.tensor([10.0, 11.0, 40.0, 41.0]), bin_width=5.0, temperature=1.0)
        tensor(0.9575)
    """
    _check_hyperparameters(bin_width=bin_width, temperature=temperature, reduction=reduction)
    features, labels, weights = checked(features, labels, weights)
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)  # (n, n)
    positives = equal_rows(rounded(labels, bin_width)) & ~itself  # (n, n)
    candidates = torch.where(itself, -math.inf, torch.zeros_like(itself, dtype=features.dtype))  # (n, n), logarithms
    log_total, mean_positive = contrast_dense(features, positives, candidates, temperature=temperature)  # (n,), (n,)
    # NOTE[DIFF]: an anchor without positives is left out, and no factor of temperature over base temperature.
    terms = torch.where(positives.any(dim=1), (log_total - mean_positive) * weights, 0)  # (n,)
    return reduced(terms, reduction)


def _check_hyperparameters(*, bin_width: float, temperature: float, reduction: str) -> None:
    check_number("bin_width", bin_width, low=0, open_low=True)
    check_number("temperature", temperature, low=0, open_low=True)
    check_choice("reduction", reduction, REDUCTIONS)


class SupConLoss(nn.Module):
    """SupCon as a module: stores and checks the hyper-parameters; `supcon_loss` has the equation and all arguments.

    Example:
        >>> import torch
        >>> regularizer = SupConLoss(bin_width=5.0, temperature=1.0)
        >>> features = torch.eye(4, requires_grad=True)
        >>> regularizer(features, torch.tensor([10.0, 11.0, 40.0, 41.0]))
        tensor(1.0986, grad_fn=<DivBackward0>)
    """

    def __init__(self, *, bin_width: float, temperature: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        _check_hyperparameters(bin_width=bin_width, temperature=temperature, reduction=reduction)
        self.bin_width = bin_width
        self.temperature = temperature
        self.reduction = reduction

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        predictions: Tensor | None = None,  # noqa: ARG002  not used: only features and labels are contrasted
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch: features (n, d), labels (n,) or (n, k), weights (n,) or None; predictions are not used."""
        return supcon_loss(
            features,
            labels,
            bin_width=self.bin_width,
            temperature=self.temperature,
            weights=weights,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Hyper-parameters, for printing."""
        return f"bin_width={self.bin_width}, temperature={self.temperature}"
