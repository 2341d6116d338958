r"""Criteria that score each sample by itself: L1, MSE and Huber, weighted or not."""

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_device, check_number, check_weights

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

    Notes:
        The weighted mean divides by n, not by the sum of weights: density weights have mean 1 over the training set.

    Example:
        >>> import torch
        >>> elementwise_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]), torch.tensor([0.5, 1.5]))
        tensor(1.7500)
    """
    check_choice("kind", kind, ELEMENTWISE)
    check_choice("reduction", reduction, ("mean", "sum", "none"))
    check_number("delta", delta, low=0, open_low=True)
    if predictions.shape != labels.shape or labels.ndim not in (1, 2):
        raise ValueError(
            "predictions and labels: expected equal shapes (n,) or (n, k), "
            f"got {tuple(predictions.shape)} and {tuple(labels.shape)}"
        )
    check_device("labels", labels, predictions.device)
    dtype = torch.promote_types(predictions.dtype, torch.float32)
    errors = predictions.to(dtype) - labels.to(dtype)
    errors = errors.unsqueeze(1) if errors.ndim == 1 else errors  # (n, k)
    magnitudes = errors.abs()  # (n, k)
    if kind == "l1":
        losses = magnitudes
    elif kind == "mse":
        losses = errors.square()
    else:
        losses = torch.where(magnitudes < delta, errors.square() / (2 * delta), magnitudes - delta / 2)
    per_sample = losses.mean(dim=1)  # (n,)
    if weights is not None:
        per_sample = per_sample * check_weights(weights, len(labels), predictions.device).to(dtype)
    if reduction == "none":
        return per_sample
    return per_sample.sum() if reduction == "sum" else per_sample.sum() / max(len(labels), 1)


class L1(nn.Module):
    """Weighted absolute error; see `elementwise_loss`."""

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean loss of a batch."""
        return elementwise_loss(predictions, labels, weights, kind="l1")


class MSE(nn.Module):
    """Weighted squared error; see `elementwise_loss`."""

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean loss of a batch."""
        return elementwise_loss(predictions, labels, weights, kind="mse")


class Huber(nn.Module):
    """Weighted Huber loss; see `elementwise_loss`."""

    def __init__(self, *, delta: float = 1.0) -> None:
        super().__init__()
        check_number("delta", delta, low=0, open_low=True)
        self.delta = delta

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean loss of a batch."""
        return elementwise_loss(predictions, labels, weights, kind="huber", delta=self.delta)
