"""Checks of settings and inputs, reductions, and the kinds of modules that all losses share."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from conr._auto import AUTOMATIC, given, number
from conr._checks import check_choice, check_number, check_whole
from conr._tensor_checks import check_features, check_labels, check_weights
from conr.pairwise import DISTANCES

REDUCTIONS = ("mean", "sum", "none")

# A name means the same in every loss.
_POSITIVE = (
    *("bandwidth", "bin_width", "delta", "error_scale", "interpolation", "label_range", "noise_scale"),
    *("prior_concentration", "temperature"),
)
_NOT_NEGATIVE = (
    *("coefficient", "contrast", "diversity", "envelope", "focus", "homogeneity", "power", "prior_evidence"),
    *("tightness", "window"),
)
_COUNTS = ("candidates", "components", "heads", "levels", "num_features", "num_points", "patch", "samples")
_CHOICES = {"distance": tuple(DISTANCES), "reduction": REDUCTIONS}


def check_settings(**settings: Any) -> None:
    """Require numbers in their range and known words, by the names of the settings; what it does not know may be any.

    Raises:
        ValueError, TypeError: one is not; the message names it.
    """
    for name, value in settings.items():
        if name in _POSITIVE:
            check_number(name, value, low=0, open_low=True)
        elif name in _NOT_NEGATIVE:
            check_number(name, value, low=0)
        elif name in _COUNTS:
            check_whole(name, value, low=1)
        elif name in _CHOICES and not (name == "distance" and callable(value)):
            check_choice(name, value, _CHOICES[name])


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
    """Base of the modules over a loss function: checks and stores the settings that a constructor hands on by name."""

    function: ClassVar[Callable[..., Tensor]]
    optional: ClassVar[tuple[str, ...]] = ()
    """Settings that may be None."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        some = {name: value for name, value in settings.items() if value is not None or name not in self.optional}
        check_settings(**{name: given(value) if name in AUTOMATIC else value for name, value in some.items()})
        for name, value in settings.items():
            setattr(self, name, value)
        taken = inspect.signature(self.function).parameters
        self._names = tuple(settings)
        self._passed = tuple(name for name in settings if name in taken)

    def settings(self) -> dict[str, Any]:
        """Settings that the function takes, as they are now.

        Raises:
            ValueError: one is still "auto".
        """
        found = {name: getattr(self, name) for name in self._passed}
        return {name: number(name, value) if name in AUTOMATIC else value for name, value in found.items()}

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
    """Base of criteria that score predictions."""

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Loss of a batch: predictions as the function takes them, labels (n,) or (n, k), weights (n,) or None."""
        return self.function(predictions, labels, weights, **self.settings())


class FittedLoss(SampleLoss):
    """Base of criteria that learn tables from the training labels.

    Tables are buffers that are not part of the state_dict, as they follow from the training labels.
    """

    tables: ClassVar[tuple[str, ...]]
    """Names of the buffers, None before ``fit``; the function takes them by these names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name in self.tables:
            self.register_buffer(name, None, persistent=False)

    def settings(self) -> dict[str, Any]:
        """Settings and learned tables, for the function.

        Raises:
            RuntimeError: ``fit`` was not called.
            ValueError: a setting is still "auto".
        """
        return {**self.learned(), **super().settings()}

    def learned(self) -> dict[str, Tensor]:
        """The tables by name; RuntimeError before ``fit``."""
        learned = {name: getattr(self, name) for name in self.tables}
        for table in learned.values():
            if table is None:
                name = type(self).__name__
                raise RuntimeError(f"this {name} has not seen training labels: call fit(labels, bins) first")
        return learned
