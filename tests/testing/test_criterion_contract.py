"""The contract of criteria finds what is wrong with a wrong criterion."""

from typing import Any

import pytest
import torch
from tests.contracts.criteria import CRITERIA
from tests.oracles.elementwise import elementwise_losses
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from conr.losses import elementwise_loss
from conr.testing import CRITERION_CHECKS, CriterionCase, criterion_contract


class Base(nn.Module):
    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return self.reduce(elementwise_loss(predictions, labels, weights, reduction="none"))

    def reduce(self, losses: Tensor) -> Tensor:
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


class MeanOfNothing(Base):
    """NaN for a batch without samples."""


class HidesNaN(Base):
    def reduce(self, losses: Tensor) -> Tensor:
        return super().reduce(losses.nan_to_num())


class ForgetsWeights(Base):
    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(predictions, labels) if weights is None else super().forward(predictions, labels) * 1


class DependsOnOrder(Base):
    def reduce(self, losses: Tensor) -> Tensor:
        return super().reduce(losses * torch.arange(1, len(losses) + 1))


class ChangesLabels(Base):
    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(predictions, labels.add_(1), weights)


class WrongGradient(Base):
    def reduce(self, losses: Tensor) -> Tensor:
        return super().reduce(losses + losses.detach())


class KeepsHalfPrecision(Base):
    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(predictions, labels.to(predictions.dtype), weights).to(predictions.dtype)


class NeverFitted(Base):
    def fit(self, labels: Tensor, bins: Any) -> "NeverFitted":
        return self


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (MeanOfNothing, "stays_finite_with_no_samples"),
        (HidesNaN, "a_nan_is_not_hidden"),
        (ForgetsWeights, "weights_multiply"),
        (DependsOnOrder, "order_of_samples_does_not_matter"),
        (ChangesLabels, "inputs_are_not_changed"),
        (WrongGradient, "gradient_equals_finite_differences"),
        (KeepsHalfPrecision, "float16_is_computed_in_float32"),
        (NeverFitted, "must_see_training_labels"),
    ],
)
def test_a_wrong_criterion_fails_its_check(wrong: type[Base], check: str) -> None:
    with pytest.raises((AssertionError, GradcheckError, pytest.fail.Exception)):
        CRITERION_CHECKS[check](CriterionCase(wrong))


def test_an_oracle_that_disagrees_is_noticed() -> None:
    doubled = CriterionCase(Base, oracle=lambda *inputs: [2 * x for x in elementwise_losses(*inputs, kind="l1")])
    with pytest.raises(AssertionError):
        CRITERION_CHECKS["equals_its_oracle"](doubled)


def test_every_case_meets_every_check_that_it_has_something_for() -> None:
    without_fit = [parameter.id for parameter in criterion_contract({"a": CRITERIA["l1"]}).args[1]]
    with_fit = [parameter.id for parameter in criterion_contract({"a": CRITERIA["bni"]}).args[1]]
    assert with_fit == [f"a-{name}" for name in CRITERION_CHECKS]
    assert len(without_fit) == len(CRITERION_CHECKS) - 3
    plain = criterion_contract({"a": CriterionCase(Base, label_dimensions=(2,))}).args[1]
    assert len(plain) == len(CRITERION_CHECKS) - 5  # nor an oracle, nor flat labels
