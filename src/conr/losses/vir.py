r"""VIR's criterion: evidential regression with pseudo-counts that follow the weights (Wang and Wang, NeurIPS 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from conr._tensor_checks import check_outputs, check_weights
from conr.losses._common import SampleLoss, check_settings, reduced_samples
from conr.losses.evidential import SMALLEST, NormalInverseGamma, nig_losses


def vir_parameters(
    outputs: Tensor, weights: Tensor | None = None, *, prior_evidence: float = 0.0, prior_concentration: float = 0.3
) -> NormalInverseGamma:
    r"""Turn the outputs of a VIR head into the parameters of its distribution.

    $$\gamma = o_0, \quad n = w \, \Big(2 + 10 \log\big(1 + e^{o_1 / 10}\big)\Big), \quad
      \nu = \nu_0 + n, \quad \alpha = \alpha_0 + \frac{n}{2}, \quad \beta = \log(1 + e^{o_2}) + 10^{-6}$$

    Symbols: $n$ pseudo-count, how many observations a prediction is worth, $w$ weights, $\nu_0$ and $\alpha_0$ priors.
    Source: Wang and Wang, "Variational Imbalanced Regression", NeurIPS 2023, with the authors' settings.

    Differences from the paper: $\beta$ has a floor; a weight below 1e-6 counts as that.

    Args:
        outputs: shape (n, 3), or (n, k, 3) for k label dimensions.
        weights: shape (n,), in training; 1 if None, as for predictions.
        prior_evidence: $\nu_0$, not negative.
        prior_concentration: $\alpha_0$, positive.

    Returns:
        Each parameter of shape (n,) or (n, k), float32 at least.

    Raises:
        ValueError: another number of outputs than 3; weights of another length; a prior out of range.
        TypeError: integer weights.

    Notes:
        Without weights alpha is at least 1.3, so that the uncertainties are finite. With weights below 0.7 it can fall
        below 1, where they mean nothing; the loss does.

    Example:
        >>> import torch
        >>> found = vir_parameters(torch.tensor([[20.0, 0.0, 1.0]]))
        >>> found.mean, found.evidence, found.concentration
        (tensor([20.]), tensor([8.9315]), tensor([4.7657]))
    """
    check_settings(prior_evidence=prior_evidence, prior_concentration=prior_concentration)
    if outputs.ndim == 0 or outputs.shape[-1] != 3:
        raise ValueError(f"outputs: expected shape (..., 3), got {tuple(outputs.shape)}")
    mean, count, rate = outputs.to(torch.promote_types(outputs.dtype, torch.float32)).unbind(-1)
    count = F.softplus(count, beta=0.1) + 2 + 0 * count  # infinity is an error
    if weights is not None:
        each = check_weights(weights, len(outputs), outputs.device).to(count.dtype)  # (n,)
        # NOTE[DIFF]: without any evidence the logarithm in the loss is infinite.
        each = each.clamp(min=SMALLEST) + 0 * each
        count = count * each.reshape(-1, *(1,) * (count.ndim - 1))
    # NOTE[DIFF]: the floor, as in `evidential_parameters`.
    rate = F.softplus(rate) + SMALLEST + 0 * rate
    return NormalInverseGamma(mean, prior_evidence + count, prior_concentration + count / 2, rate)


def vir_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    coefficient: float = 0.01,
    prior_evidence: float = 0.0,
    prior_concentration: float = 0.3,
    reduction: str = "mean",
) -> Tensor:
    r"""Loss of evidential regression (`evidential_loss`) with weighted pseudo-counts (`vir_parameters`).

    Rare labels, with weights above 1, are predicted as if from more observations: their distribution is sharper, and
    errors cost more. The weights do not multiply the loss.

    Args:
        predictions: outputs of a VIR head, shape (n, 3), or (n, k, 3) for k label dimensions.
        labels: shape (n,) or (n, k).
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        coefficient: of the price of evidence, not negative.
        prior_evidence: see `vir_parameters`.
        prior_concentration: see `vir_parameters`.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least. May be negative: it is a log-density.

    Raises:
        ValueError: shapes or devices differ; coefficient or a prior out of range; an unknown reduction.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        O(n k). Losses of several label dimensions are averaged. A weight below 1e-6 counts as that.

    Example:
        >>> import torch
        >>> outputs = torch.tensor([[20.0, 0.0, 1.0], [20.0, 0.0, 1.0]])
        >>> vir_loss(outputs, torch.tensor([21.0, 21.0]), torch.tensor([1.0, 3.0]), reduction="none")
        tensor([2.1305, 4.8856])
    """
    check_settings(coefficient=coefficient, reduction=reduction)
    check_outputs(predictions, labels, (3,))
    parameters = vir_parameters(
        predictions, weights, prior_evidence=prior_evidence, prior_concentration=prior_concentration
    )
    return reduced_samples(nig_losses(parameters, labels, coefficient), None, reduction)


class VIR(SampleLoss):
    """VIR's criterion as a module, for `conr.models.VIRHead` and `conr.smoothing.VariationalFDS`; see `vir_loss`."""

    function = staticmethod(vir_loss)

    def __init__(
        self,
        *,
        coefficient: float = 0.01,
        prior_evidence: float = 0.0,
        prior_concentration: float = 0.3,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            coefficient=coefficient,
            prior_evidence=prior_evidence,
            prior_concentration=prior_concentration,
            reduction=reduction,
        )
