"""What all criteria share: label columns in full precision, and the weighted reduction over samples."""

import torch
from torch import Tensor

from conr._checks import check_choice
from conr._tensor_checks import check_weights

REDUCTIONS = ("mean", "sum", "none")


def paired_columns(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and labels, checked and of shape (n,) or (n, k), as (n, k) in float32 or float64."""
    dtype = torch.promote_types(predictions.dtype, torch.float32)
    predictions, labels = predictions.to(dtype), labels.to(dtype)
    return (predictions.unsqueeze(1), labels.unsqueeze(1)) if labels.ndim == 1 else (predictions, labels)


def reduce_samples(per_sample: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    """Weigh the losses of n samples, shape (n,), and reduce them; a mean divides by n, not by the sum of weights."""
    check_choice("reduction", reduction, REDUCTIONS)
    n = len(per_sample)
    if weights is not None:
        per_sample = per_sample * check_weights(weights, n, per_sample.device).to(per_sample.dtype)
    if reduction == "none":
        return per_sample
    return per_sample.sum() if reduction == "sum" else per_sample.sum() / max(n, 1)
