"""Input checks, reductions and the two kinds of modules that all losses share."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from conr._auto import AUTO, number
from conr._checks import check_choice
from conr._tensor_checks import check_features, check_labels, check_weights

REDUCTIONS = ("mean", "sum", "none")


def checked_features(features: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Check a regularizer's inputs; return features (n, d) and weights (n,) in float32 at least, and labels (n, k)."""
    check_features(features)
    n = len(features)
    dtype = torch.promote_types(features.dtype, torch.float32)
    labels = check_labels("labels", labels, n, features.device).detach()  # (n, k)
    if weights is None:
        weights = features.new_ones(n, dtype=dtype)
    weights = check_weights(weights, n, features.device).detach()  # (n,)
    return features.to(dtype), labels, weights.to(dtype)


def paired_columns(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and labels, checked and of shape (n,) or (n, k), as (n, k) in float32 or float64."""
    dtype = torch.promote_types(predictions.dtype, torch.float32)
    predictions, labels = predictions.to(dtype), labels.to(dtype)
    return (predictions.unsqueeze(1), labels.unsqueeze(1)) if labels.ndim == 1 else (predictions, labels)


def nothing(like: Tensor, *inputs: Tensor) -> Tensor:
    """0, or NaN if an input has a number that is not finite: added to a loss whose terms could leave that number out.

    Args:
        like: a tensor of the loss's dtype.
        inputs: of any shape; constants to the gradient.
    """
    total = like.new_zeros(())
    for one in inputs:
        total = total + (one.detach() * 0).sum().to(like.dtype)
    return total


def no_terms(features: Tensor) -> Tensor:
    """Zeros of shape (n,) that keep the graph, for a batch too small for any pair."""
    return features.mul(0).sum(dim=1)


def reduced(terms: Tensor, reduction: str) -> Tensor:
    """Mean over all n samples, sum, or the terms (n,) themselves; the mean of no terms is 0."""
    check_choice("reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.sum() / max(len(terms), 1)


def reduced_samples(losses: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    """Weigh the losses of n samples, shape (n,), and reduce them; a mean divides by n, not by the sum of weights."""
    if weights is not None:
        losses = losses * check_weights(weights, len(losses), losses.device).to(losses.dtype)
    return reduced(losses, reduction)


class LossModule(nn.Module):
    """Base of the modules over a loss function; a subclass stores its constructor's arguments under their names."""

    function: ClassVar[Callable[..., Tensor]]
    _names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._names = tuple(inspect.signature(cls.__init__).parameters)[1:]

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor, as they are now.

        Raises:
            ValueError: one is still "auto".
        """
        found = {name: getattr(self, name) for name in self._names}
        return {name: number(name, value) if value == AUTO else value for name, value in found.items()}

    def extra_repr(self) -> str:
        """Hyper-parameters, for printing."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names if name != "reduction")


class FeatureLoss(LossModule):
    """Base of regularizers that compare features with labels, and need no predictions."""

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        predictions: Tensor | None = None,  # noqa: ARG002  a regularizer gets them whether it needs them or not
        weights: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch: features (n, d), labels (n,) or (n, k), weights (n,) or None; predictions are not used."""
        return self.function(features, labels, weights=weights, **self.settings())


class SampleLoss(LossModule):
    """Base of criteria that score predictions and have learned nothing from training labels."""

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Loss of a batch: predictions as the function takes them, labels (n,) or (n, k), weights (n,) or None."""
        return self.function(predictions, labels, weights, **self.settings())
