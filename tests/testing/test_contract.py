"""A contract finds what is wrong with a wrong module."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import Phase, settings
from tests.contracts.criteria import CRITERIA
from tests.contracts.registry import REGULARIZERS
from tests.contracts.smoothers import SMOOTHERS
from tests.oracles.elementwise import elementwise_losses
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

import conr._extras
from conr._checks import check_choice
from conr.losses import elementwise_loss
from conr.losses._common import REDUCTIONS, checked_features, reduced
from conr.smoothing import FDS
from conr.testing import (
    CRITERION_CHECKS,
    REGULARIZER_CHECKS,
    SMOOTHER_CHECKS,
    Case,
    CriterionCase,
    RegularizerCase,
    SmootherCase,
    contract,
)


class Sound(nn.Module):
    """Weighted mean of squared features, scaled by the first label: keeps the contract."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        del predictions
        features, labels, weights = checked_features(features, labels, weights)
        return self.reduce(self.terms(features, labels.to(features.dtype), weights))

    def terms(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        return weights * (1 + labels.sum(dim=1)) * features.square().mean(dim=1)

    def reduce(self, terms: Tensor) -> Tensor:
        return reduced(terms, self.reduction)


def oracle(features: list[list[float]], labels: Any, predictions: Any, weights: list[float]) -> list[float]:
    return [
        weight * (1 + sum(label)) * sum(x * x for x in vector) / len(vector)
        for vector, label, weight in zip(features, labels, weights, strict=True)
    ]


class WrongValue(Sound):
    def terms(self, *inputs: Tensor) -> Tensor:
        return 1.0001 * super().terms(*inputs)


class WrongMean(Sound):
    def reduce(self, terms: Tensor) -> Tensor:
        return terms.sum() / (len(terms) - 1) if self.reduction == "mean" else super().reduce(terms)


class Idle(Sound):
    def terms(self, *inputs: Tensor) -> Tensor:
        return 0 * super().terms(*inputs)


class HalfAGradient(Sound):
    def terms(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        return weights * (1 + labels[:, 0]) * (features * features.detach()).mean(dim=1)


class OrderMatters(Sound):
    def terms(self, *inputs: Tensor) -> Tensor:
        terms = super().terms(*inputs)
        return terms * torch.arange(1.0, len(terms) + 1)


class FlatIsOther(Sound):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(features, labels, predictions, weights) * labels.ndim


class NoWeightsAreTwos(Sound):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(features, labels, predictions, weights) * (2 if weights is None else 1)


class HidesNaN(Sound):
    def reduce(self, terms: Tensor) -> Tensor:
        return super().reduce(terms.nan_to_num())


class RootOfZero(Sound):
    def terms(self, *inputs: Tensor) -> Tensor:
        return super().terms(*inputs).sqrt()


class LowersPrecision(Sound):
    def terms(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        return weights * (1 + labels[:, 0]) * (features @ features.T).diagonal() / features.shape[1]


class KeepsHalf(Sound):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(features, labels, predictions, weights).to(features.dtype)


class ChangesInputs(Sound):
    def terms(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        weights += 1
        return super().terms(features, labels, weights)


class GradientOfWeights(Sound):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        loss = super().forward(features, labels, predictions, weights)
        return loss if weights is None else loss + weights.sum() - weights.detach().sum()


class BackwardCounts(Sound):
    def terms(self, *inputs: Tensor) -> Tensor:
        terms = super().terms(*inputs)
        counter = itertools.count(1)
        terms.register_hook(lambda grad: grad * next(counter))  # type: ignore[no-untyped-call]
        return terms


class ForgetsItsState(Sound):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = 1 + torch.rand(()).item()

    def terms(self, *inputs: Tensor) -> Tensor:
        return self.factor * super().terms(*inputs)


class LooksAtValues(Sound):
    def terms(self, *inputs: Tensor) -> Tensor:
        terms = super().terms(*inputs)
        return terms if terms.sum().item() > 0 else 2 * terms


class SecretSetting(Sound):
    def __init__(self, *, scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.scale = scale


class Unchecked(Sound):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        del predictions
        weights = torch.ones(()) if weights is None else weights.detach()
        return self.reduce(weights.mean() * features.mul(1.0).square().mean() * labels.detach().sum())


class Criterion(nn.Module):
    """The absolute error: keeps the contract, but for a batch without samples."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        check_choice("reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return self.reduce(elementwise_loss(predictions, labels, weights, reduction="none"))

    def reduce(self, losses: Tensor) -> Tensor:
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


class ForgetsWeights(Criterion):
    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(predictions, labels) if weights is None else super().forward(predictions, labels) * 1


class ChangesLabels(Criterion):
    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return super().forward(predictions, labels.add_(1), weights)


class NeverFitted(Criterion):
    def fit(self, labels: Tensor, bins: Any) -> "NeverFitted":
        return self


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


class HalfPrecision(FDS):
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return super().forward(features, labels).float()


REGULARIZER_BREAKS = {
    "equals_its_oracle": WrongValue,
    "reductions_agree": WrongMean,
    "has_something_to_do": Idle,
    "gradient_equals_finite_differences": HalfAGradient,
    "order_of_samples_does_not_matter": OrderMatters,
    "flat_labels_are_one_dimension": FlatIsOther,
    "weights_default_to_one": NoWeightsAreTwos,
    "a_nan_is_not_hidden": HidesNaN,
    "stays_finite_with_zero_features": RootOfZero,
    "autocast_does_not_lower_the_precision": LowersPrecision,
    "float16_is_computed_in_float32": KeepsHalf,
    "inputs_are_not_changed": ChangesInputs,
    "only_features_get_a_gradient": GradientOfWeights,
    "backward_twice_gives_the_same": BackwardCounts,
    "survives_pickle_copy_and_state_dict": ForgetsItsState,
    "compiles_to_the_same_value": LooksAtValues,
    "text_shows_the_settings": SecretSetting,
    "wrong_inputs_are_refused": Unchecked,
}


FAILURES = (AssertionError, RuntimeError, GradcheckError, pytest.fail.Exception)


@pytest.fixture(autouse=True)
def without_shrinking() -> Iterator[None]:
    """A failing example is enough; the smallest one costs minutes."""
    settings.register_profile("first failure", phases=(Phase.generate,))
    settings.load_profile("first failure")
    yield
    settings.load_profile("default")


SOUND = RegularizerCase(
    Sound, {}, oracle, zero_on=("no samples", "zero features"), used=("features", "labels", "weights")
)


@contract({"sound": SOUND})
def test_a_sound_regularizer_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("name", "broken"), REGULARIZER_BREAKS.items(), ids=REGULARIZER_BREAKS.keys())
def test_a_wrong_regularizer_fails_its_check(name: str, broken: type[Sound]) -> None:
    settings_ = {"scale": 0.37} if broken is SecretSetting else {}
    with pytest.raises(FAILURES):
        REGULARIZER_CHECKS[name](RegularizerCase(broken, settings_, oracle, refused={"reduction": ("avg",)}))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("stays_finite_with_no_samples", Criterion),
        ("weights_multiply", ForgetsWeights),
        ("inputs_are_not_changed", ChangesLabels),
        ("must_see_training_labels", NeverFitted),
        ("equals_its_oracle", Criterion),
    ],
)
def test_a_wrong_criterion_fails_its_check(name: str, wrong: type[Criterion]) -> None:
    doubled = CriterionCase(wrong, oracle=lambda *inputs: [2 * x for x in elementwise_losses(*inputs, kind="l1")])
    with pytest.raises(FAILURES):
        CRITERION_CHECKS[name](doubled)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("inputs_are_not_changed", InPlace),
        ("evaluation_changes_nothing", AlsoInEvaluation),
        ("changes_nothing_before_it_knows", AlsoInEvaluation),
        ("statistics_are_constants", KeepsGraphs),
        ("batches_of_an_epoch_count_as_one", LastBatchOnly),
        ("float16_is_computed_in_float32", HalfPrecision),
        ("equals_its_oracle", AlsoInEvaluation),
    ],
)
def test_a_wrong_smoother_fails_its_check(name: str, wrong: type[FDS]) -> None:
    with pytest.raises(FAILURES):
        SMOOTHER_CHECKS[name](SmootherCase(wrong, SMOOTHERS["fds"].settings, SMOOTHERS["fds"].oracle))


def test_a_constructor_that_takes_anything_is_found() -> None:
    case = RegularizerCase(Sound, refused={"reduction": ("avg",)})
    with pytest.raises(pytest.fail.Exception):
        REGULARIZER_CHECKS["wrong_settings_are_refused"](replace(case, make=SecretSetting, refused={"scale": (-1,)}))


def test_a_zero_that_is_none_is_found() -> None:
    case = RegularizerCase(Sound, {}, zero_on=("equal labels",))
    with pytest.raises(AssertionError, match="output"):
        REGULARIZER_CHECKS["stays_finite_with_equal_labels"](case)


def names(case: Case, only: tuple[str, ...] | None = None) -> list[str]:
    return [parameter.id.removeprefix("a-") for parameter in contract({"a": case}, only=only).args[1]]


def test_every_case_meets_every_check_that_it_has_something_for() -> None:
    assert names(REGULARIZERS["conr"]) == list(REGULARIZER_CHECKS)
    assert names(CRITERIA["bni"]) == list(CRITERION_CHECKS)
    assert names(SMOOTHERS["fds"]) == list(SMOOTHER_CHECKS)
    without = {"equals_its_oracle", "flat_labels_are_one_dimension"}
    bare = SmootherCase(FDS, label_dimensions=(2,))
    assert set(SMOOTHER_CHECKS) - set(names(bare)) == without
    of_fit = {"fits_again_as_before", "must_see_training_labels", "fits_equal_labels"}
    assert set(CRITERION_CHECKS) - set(names(CriterionCase(Criterion, label_dimensions=(2,)))) == without | of_fit
    assert names(REGULARIZERS["conr"], only=("equals_its_oracle",)) == ["equals_its_oracle"]
    with pytest.raises(ValueError, match=r"only: expected one of .*did you mean 'equals_its_oracle'"):
        names(REGULARIZERS["conr"], only=("equal_its_oracle",))


@pytest.mark.parametrize(
    ("exempt", "message"),
    [
        ({"reduction_agree": "why"}, "mine: exempt: expected one of .*did you mean 'reductions_agree'"),
        ({"reductions_agree": " "}, "mine: exempt: expected the reason why 'reductions_agree' does not hold, got none"),
    ],
)
def test_exemptions_name_a_check_and_a_reason(exempt: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contract({"mine": RegularizerCase(Sound, exempt=exempt)})


def test_an_exemption_expects_its_check_to_fail() -> None:
    case = RegularizerCase(Sound, exempt={"reductions_agree": "not so"})
    marks = {parameter.id: parameter.marks for parameter in contract({"mine": case}).args[1]}
    (mark,) = marks.pop("mine-reductions_agree")
    assert mark.name == "xfail"
    assert mark.kwargs["strict"]
    assert mark.kwargs["reason"] == "not so"
    assert issubclass(GradcheckError, mark.kwargs["raises"])
    assert not any(marks.values())


def test_a_missing_package_is_answered_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conr._extras, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"conr.testing needs pytest, .*: pip install 'conr\[dev\]'"):
        conr._extras.require("conr.testing", "pytest", "hypothesis")
