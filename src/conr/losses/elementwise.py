r"""Criteria that score each sample separately: L1, MSE and Huber, weighted or not."""

from functools import partial

import torch
from torch import Tensor

from conr._auto import Auto
from conr._checks import check_choice
from conr._tensor_checks import check_outputs
from conr.losses._common import SampleLoss, check_settings, paired_columns, reduced_samples

ELEMENTWISE = ("l1", "mse", "huber")


def elementwise_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    kind: str = "l1",
    delta: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    r"""Weighted error of each sample.

    $$\ell_i = w_i \, \frac{1}{k} \sum_c f(\hat y_{ic} - y_{ic})$$

    with $f(e) = |e|$ (``"l1"``), $e^2$ (``"mse"``), or $e^2 / 2\delta$ where $|e| < \delta$ and $|e| - \delta/2$
    elsewhere (``"huber"``, as in the DIR benchmarks: the slope of the linear part is 1 for every $\delta$).

    Symbols: $\hat y$ predictions, $y$ labels, $w$ weights, $k$ label dimensions, $\delta$ delta in label units.

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        kind: ``"l1"``, ``"mse"`` or ``"huber"``.
        delta: where Huber turns linear, in label units; positive.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least.

    Raises:
        ValueError: shapes or devices differ; an unknown kind or reduction; delta not positive.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        The weighted mean divides by n, not by the sum of weights: density weights have mean 1 over the training set.

    Example:
        >>> import torch
        >>> elementwise_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]), torch.tensor([0.5, 1.5]))
        tensor(1.7500)
    """
    check_choice("kind", kind, ELEMENTWISE)
    check_settings(delta=delta, reduction=reduction)
    check_outputs(predictions, labels)
    predictions, labels = paired_columns(predictions, labels)  # (n, k), (n, k)
    errors = predictions - labels
    magnitudes = errors.abs()  # (n, k)
    if kind == "l1":
        losses = magnitudes
    elif kind == "mse":
        losses = errors.square()
    else:
        losses = torch.where(magnitudes < delta, errors.square() / (2 * delta), magnitudes - delta / 2)
    return reduced_samples(losses.mean(dim=1), weights, reduction)


class L1(SampleLoss):
    """Weighted absolute error; see `elementwise_loss`."""

    function = staticmethod(partial(elementwise_loss, kind="l1"))

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class MSE(SampleLoss):
    """Weighted squared error; see `elementwise_loss`."""

    function = staticmethod(partial(elementwise_loss, kind="mse"))

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


def _huber_loss(
    predictions: Tensor, labels: Tensor, weights: Tensor | None = None, *, delta: float = 1.0, reduction: str = "mean"
) -> Tensor:
    # No partial function: torch.compile before 2.7 fails at one with settings.
    return elementwise_loss(predictions, labels, weights, kind="huber", delta=delta, reduction=reduction)


class Huber(SampleLoss):
    """Weighted Huber loss; see `elementwise_loss`.

    Delta may be "auto": half a standard deviation of the training labels (`conr.methods.resolve`).
    """

    function = staticmethod(_huber_loss)

    def __init__(self, *, delta: float | Auto = 1.0, reduction: str = "mean") -> None:
        super().__init__(delta=delta, reduction=reduction)
