r"""Focal-R: errors weighted by their own size, so hard samples count more (Yang et al., ICML 2021)."""

import torch
from torch import Tensor

from conr._auto import Auto
from conr._checks import check_choice
from conr._tensor_checks import check_outputs
from conr.losses._common import SampleLoss, check_settings, paired_columns, reduced_samples

FOCAL_KINDS = ("l1", "mse")
ACTIVATIONS = ("sigmoid", "tanh")


def focal_r_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    kind: str = "l1",
    activation: str = "sigmoid",
    error_scale: float = 0.2,
    focus: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    r"""Error of each sample, times a factor in [0, 1) that grows with the error.

    $$\ell_i = w_i \, \frac{1}{k} \sum_c f(e_{ic}) \, g(\beta |e_{ic}|)^\gamma, \qquad e = \hat y - y$$

    with $f(e) = |e|$ (``"l1"``) or $e^2$ (``"mse"``), and $g(x) = 2 \sigma(x) - 1$ (``"sigmoid"``, which is
    $\tanh(x / 2)$) or $\tanh(x)$ (``"tanh"``).

    Symbols: $\hat y$ predictions, $y$ labels, $w$ weights, $k$ label dimensions, $\beta$ error_scale, $\gamma$ focus,
    $\sigma$ the logistic function. Source: "Delving into Deep Imbalanced Regression", ICML 2021 (Focal-R).

    Differences from the paper: its text writes $\sigma(|\beta e|)^\gamma$, which is at least 1/2; $2 \sigma - 1$ is
    what the authors' released code computes, as the name focal asks for: it vanishes with the error.

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        kind: ``"l1"`` or ``"mse"``.
        activation: ``"sigmoid"`` or ``"tanh"``.
        error_scale: how fast the factor approaches 1, in 1 / label units; positive. 0.2 was used for ages (a factor of
            1/2 at 5.5 years), 20 for labels in [0, 1].
        focus: exponent of the factor, not negative; 0 switches it off.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least.

    Raises:
        ValueError: shapes or devices differ; an unknown kind, activation or reduction; error_scale not positive; focus
            negative.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        The gradient flows through the factor, too. O(n k).

    Example:
        >>> import torch
        >>> focal_r_loss(torch.tensor([1.0, 12.0]), torch.tensor([0.0, 2.0]), reduction="none")
        tensor([0.0997, 7.6159])
    """
    _check_words(kind, activation)
    check_settings(error_scale=error_scale, focus=focus, reduction=reduction)
    check_outputs(predictions, labels)
    predictions, labels = paired_columns(predictions, labels)  # (n, k), (n, k)
    errors = predictions - labels
    scaled = error_scale * errors.abs()  # (n, k)
    # NOTE[DIFF]: the paper's text has sigmoid(x), its released code 2 sigmoid(x) - 1, which is tanh(x / 2).
    factors = torch.tanh(scaled / 2 if activation == "sigmoid" else scaled)
    # An exponent below 1 has an infinite slope at 0, and 0 * inf is NaN: the slope is taken as 0 there.
    factors = factors.clamp(min=torch.finfo(factors.dtype).tiny) ** focus
    losses = factors * (errors.abs() if kind == "l1" else errors.square())  # (n, k)
    return reduced_samples(losses.mean(dim=1), weights, reduction)


def _check_words(kind: str, activation: str) -> None:
    check_choice("kind", kind, FOCAL_KINDS)
    check_choice("activation", activation, ACTIVATIONS)


class FocalR(SampleLoss):
    """Focal-R as a module; `focal_r_loss` has the equation and all arguments.

    The error scale may be "auto": 4 per standard deviation of the training labels (`conr.methods.resolve`).
    """

    function = staticmethod(focal_r_loss)

    def __init__(
        self,
        *,
        kind: str = "l1",
        activation: str = "sigmoid",
        error_scale: float | Auto = 0.2,
        focus: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        _check_words(kind, activation)
        super().__init__(kind=kind, activation=activation, error_scale=error_scale, focus=focus, reduction=reduction)
