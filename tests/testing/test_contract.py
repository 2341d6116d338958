import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.contracts.registry import REGULARIZERS
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

import conr._extras
from conr.losses._features import checked, reduced
from conr.testing import REGULARIZER_CHECKS, RegularizerCase, regularizer_contract


class Sound(nn.Module):
    """Weighted mean of squared features, scaled by the first label: keeps the contract."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        del predictions
        features, labels, weights = checked(features, labels, weights)
        return self.reduce(self.terms(features, labels.to(features.dtype), weights))

    def terms(self, features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        return weights * (1 + labels[:, 0]) * features.square().mean(dim=1)

    def reduce(self, terms: Tensor) -> Tensor:
        return reduced(terms, self.reduction)


def oracle(features: list[list[float]], labels: Any, predictions: Any, weights: list[float]) -> list[float]:
    return [
        weight * (1 + label[0]) * sum(x * x for x in vector) / len(vector)
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


class NanHidden(Sound):
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


class Unchecked(Sound):
    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        del predictions
        weights = torch.ones(()) if weights is None else weights.detach()
        return self.reduce(weights.mean() * features.mul(1.0).square().mean() * labels.detach().sum())


BREAKS = {
    "equals_its_oracle": WrongValue,
    "reductions_agree": WrongMean,
    "has_something_to_do": Idle,
    "gradient_equals_finite_differences": HalfAGradient,
    "order_of_samples_does_not_matter": OrderMatters,
    "flat_labels_are_one_dimension": FlatIsOther,
    "weights_default_to_one": NoWeightsAreTwos,
    "a_nan_is_not_hidden": NanHidden,
    "stays_finite_with_zero_features": RootOfZero,
    "autocast_does_not_lower_the_precision": LowersPrecision,
    "float16_is_computed_in_float32": KeepsHalf,
    "inputs_are_not_changed": ChangesInputs,
    "only_features_get_a_gradient": GradientOfWeights,
    "backward_twice_gives_the_same": BackwardCounts,
    "survives_pickle_copy_and_state_dict": ForgetsItsState,
    "compiles_to_the_same_value": LooksAtValues,
    "wrong_shapes_and_dtypes_are_refused": Unchecked,
}


@regularizer_contract({"sound": RegularizerCase(Sound, {}, oracle, zero_on=("no samples", "zero features"))})
def test_a_sound_regularizer_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("name", "broken"), BREAKS.items(), ids=BREAKS.keys())
def test_each_check_finds_what_it_is_for(name: str, broken: type[Sound]) -> None:
    failures = (AssertionError, RuntimeError, pytest.fail.Exception)
    with pytest.raises(failures):
        REGULARIZER_CHECKS[name](RegularizerCase(broken, {}, oracle))


def test_a_zero_that_is_none_is_found() -> None:
    case = RegularizerCase(Sound, {}, zero_on=("equal labels",))
    with pytest.raises(AssertionError, match="loss"):
        REGULARIZER_CHECKS["stays_finite_with_equal_labels"](case)


def test_every_case_meets_every_check_that_it_has_something_for() -> None:
    conr_, angular = REGULARIZERS["conr"], REGULARIZERS["conr-angular"]
    names = [parameter.id for parameter in regularizer_contract({"a": conr_, "b": angular}).args[1]]
    assert names[: len(REGULARIZER_CHECKS)] == [f"a-{name}" for name in REGULARIZER_CHECKS]
    assert len(names) == 2 * len(REGULARIZER_CHECKS) - 1  # labels of two angles are never flat
    without_oracle = regularizer_contract({"a": replace(conr_, oracle=None)}).args[1]
    assert len(without_oracle) == len(REGULARIZER_CHECKS) - 1


@pytest.mark.parametrize(
    ("exempt", "message"),
    [
        ({"reduction_agree": "why"}, "mine: exempt: expected one of .*did you mean 'reductions_agree'"),
        ({"reductions_agree": " "}, "mine: exempt: expected the reason why 'reductions_agree' does not hold, got none"),
    ],
)
def test_exemptions_name_a_check_and_a_reason(exempt: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regularizer_contract({"mine": RegularizerCase(Sound, exempt=exempt)})


def test_an_exemption_expects_its_check_to_fail() -> None:
    case = RegularizerCase(Sound, exempt={"reductions_agree": "not so"})
    marks = {parameter.id: parameter.marks for parameter in regularizer_contract({"mine": case}).args[1]}
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
