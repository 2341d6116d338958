r"""Deep evidential regression: a network that predicts how sure it is (Amini et al., NeurIPS 2020)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from conr._tensor_checks import check_outputs
from conr.losses._common import SampleLoss, check_settings, reduced_samples

SMALLEST = 1e-6


class NormalInverseGamma(NamedTuple):
    r"""Belief of an evidential head about each label, whose mean and variance are drawn from this distribution.

    Symbols: mean $\gamma$, evidence $\nu$, concentration $\alpha$, rate $\beta$; each of shape (n,) or (n, k).
    """

    mean: Tensor  # in label units: the prediction
    evidence: Tensor  # positive: how many samples the mean is worth
    concentration: Tensor  # above 1
    rate: Tensor  # positive, in squared label units

    @property
    def aleatoric(self) -> Tensor:
        r"""Expected variance of the labels, $\beta / (\alpha - 1)$, in squared label units."""
        return self.rate / (self.concentration - 1)

    @property
    def epistemic(self) -> Tensor:
        r"""Variance of the mean, $\beta / (\nu (\alpha - 1))$, in squared label units."""
        return self.aleatoric / self.evidence


def evidential_parameters(outputs: Tensor) -> NormalInverseGamma:
    r"""Turn the outputs of an evidential head into the parameters of its distribution.

    $$\gamma = o_0, \quad \nu = s(o_1), \quad \alpha = 1 + s(o_2), \quad \beta = s(o_3), \qquad
      s(o) = \log(1 + e^o) + 10^{-6}$$

    Args:
        outputs: shape (..., 4).

    Returns:
        Each parameter of shape (...), float32 at least.

    Raises:
        ValueError: another number of outputs than 4.

    Notes:
        The $10^{-6}$ keep logarithms and quotients finite where the softplus vanishes.

    Example:
        >>> import torch
        >>> found = evidential_parameters(torch.tensor([[20.0, 0.0, 1.0, 2.0]]))
        >>> found.mean, found.aleatoric, found.epistemic
        (tensor([20.]), tensor([1.6196]), tensor([2.3366]))
    """
    if outputs.ndim == 0 or outputs.shape[-1] != 4:
        raise ValueError(f"outputs: expected shape (..., 4), got {tuple(outputs.shape)}")
    mean, *raw = outputs.to(torch.promote_types(outputs.dtype, torch.float32)).unbind(-1)
    # NOTE[DIFF]: the paper's equations have no floor, and are infinite where the softplus vanishes.
    evidence, concentration, rate = (F.softplus(one) + SMALLEST + 0 * one for one in raw)  # infinity is an error
    return NormalInverseGamma(mean, evidence, 1 + concentration, rate)


def evidential_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    coefficient: float = 0.01,
    reduction: str = "mean",
) -> Tensor:
    r"""Negative log-likelihood of a label under a predicted normal-inverse-gamma, plus a price for wrong evidence.

    $$\ell_i = w_i \, \frac{1}{k} \sum_c \Big[ \frac{1}{2} \log \frac{\pi}{\nu} - \alpha \log \Omega
      + \Big(\alpha + \frac{1}{2}\Big) \log\big(\nu (y - \gamma)^2 + \Omega\big)
      + \log \frac{\Gamma(\alpha)}{\Gamma(\alpha + \frac{1}{2})} + \lambda \, |y - \gamma| \, (2 \nu + \alpha) \Big]$$

    with $\Omega = 2 \beta (1 + \nu)$; the indices $ic$ of all but $w$ are left out.

    Symbols: $y$ labels, $\gamma, \nu, \alpha, \beta$ from predictions (`evidential_parameters`), $w$ weights, $k$ label
    dimensions, $\lambda$ coefficient. Source: "Deep Evidential Regression", NeurIPS 2020.

    Differences from the paper: the floor in `evidential_parameters`; several label dimensions, averaged.

    Args:
        predictions: outputs of an evidential head, shape (n, 4), or (n, k, 4) for k label dimensions.
        labels: shape (n,) or (n, k).
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        coefficient: of the price, not negative. 0.01 as in the authors' experiments.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least. May be negative: it is a log-density.

    Raises:
        ValueError: shapes or devices differ; coefficient negative; an unknown reduction.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        The logarithms of $\Omega$ are joined, $\frac{1}{2} \log \Omega + (\alpha + \frac{1}{2})
        \log(1 + \nu (y - \gamma)^2 / \Omega)$, so that much evidence costs less precision. O(n k).

    Example:
        >>> import torch
        >>> outputs = torch.tensor([[20.0, 0.0, 1.0, 2.0], [30.0, 0.0, 1.0, 2.0]])
        >>> evidential_loss(outputs, torch.tensor([21.0, 40.0]), reduction="none")
        tensor([1.6726, 8.3951])
    """
    check_settings(coefficient=coefficient, reduction=reduction)
    check_outputs(predictions, labels, (4,))
    return reduced_samples(nig_losses(evidential_parameters(predictions), labels, coefficient), weights, reduction)


def nig_losses(parameters: NormalInverseGamma, labels: Tensor, coefficient: float) -> Tensor:
    """The equation of `evidential_loss` without weights, mean over label dimensions: shape (n,)."""
    mean, evidence, concentration, rate = parameters
    errors = labels.to(mean.dtype) - mean
    omega = 2 * rate * (1 + evidence)
    likelihood_loss = (
        0.5 * (torch.pi * omega / evidence).log()
        + (concentration + 0.5) * torch.log1p(evidence * errors.square() / omega)
        + torch.lgamma(concentration)
        - torch.lgamma(concentration + 0.5)
    )
    price = errors.abs() * (2 * evidence + concentration)
    losses = likelihood_loss + coefficient * price  # (n,) or (n, k)
    return losses.mean(dim=1) if labels.ndim == 2 else losses


class Evidential(SampleLoss):
    """Deep evidential regression as a module, to go with `conr.models.EvidentialHead`; see `evidential_loss`."""

    function = staticmethod(evidential_loss)

    def __init__(self, *, coefficient: float = 0.01, reduction: str = "mean") -> None:
        super().__init__(coefficient=coefficient, reduction=reduction)
