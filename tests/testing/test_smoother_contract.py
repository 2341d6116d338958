"""The contract of smoothers finds what is wrong with a wrong smoother."""

import pytest
from tests.contracts.smoothers import SMOOTHERS
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from conr.smoothing import FDS
from conr.testing import SMOOTHER_CHECKS, SmootherCase, smoother_contract


class InPlace(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        smoothed = super().forward(features, labels)
        features.data.copy_(smoothed)
        return smoothed


class AlsoInEvaluation(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return 2 * super().forward(features, labels)


class KeepsGraphs(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        smoothed = super().forward(features, labels)
        self.last = features.sum() + getattr(self, "last", 0)
        return smoothed + 0 * self.last


class LastBatchOnly(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        if self.training and len(labels):
            self.moments.clear()
        return super().forward(features, labels)


class DetachesTheFeatures(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return super().forward(features.detach(), labels) + features - features.detach()


class HalfPrecision(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return super().forward(features, labels).float()


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (InPlace, "inputs_are_not_changed"),
        (AlsoInEvaluation, "evaluation_changes_nothing"),
        (AlsoInEvaluation, "changes_nothing_before_it_knows"),
        (KeepsGraphs, "statistics_are_constants"),
        (LastBatchOnly, "batches_of_an_epoch_count_as_one"),
        (DetachesTheFeatures, "gradient_equals_finite_differences"),
        (HalfPrecision, "float16_is_computed_in_float32"),
        (AlsoInEvaluation, "equals_its_oracle"),
    ],
)
def test_a_wrong_smoother_fails_its_check(wrong: type[FDS], check: str) -> None:
    settings = SMOOTHERS["fds"].settings
    case = SmootherCase(wrong, settings, SMOOTHERS["fds"].oracle)
    with pytest.raises((AssertionError, GradcheckError, RuntimeError)):
        SMOOTHER_CHECKS[check](case)


def test_every_case_meets_every_check_that_it_has_something_for() -> None:
    complete = [parameter.id for parameter in smoother_contract({"a": SMOOTHERS["fds"]}).args[1]]
    assert complete == [f"a-{name}" for name in SMOOTHER_CHECKS]
    plain = smoother_contract({"a": SmootherCase(FDS, label_dimensions=(2,))}).args[1]
    assert len(plain) == len(SMOOTHER_CHECKS) - 2  # no oracle, no flat labels
