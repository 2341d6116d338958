"""Random batches into every loss, regularizer and smoother."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from hypothesis import strategies as st
from tests.contracts import criteria, registry
from tests.contracts.smoothers import SMOOTHERS
from tests.fuzz.batches import Drawn, batches
from tests.fuzz.search import Refused, attempt, examples, search
from torch import Tensor, nn

REGULARIZERS = {**registry.REGULARIZERS, **registry.ENGINES, **registry.DRAWN, **registry.VARIANTS}
CRITERIA = {**criteria.CRITERIA, **criteria.VARIANTS}


def judge(call: Callable[..., Tensor], differentiable: str, drawn: dict[str, Drawn], shape: tuple[int, ...]) -> None:
    """The value and the gradient are finite if the numbers are moderate; what is refused says why."""
    inputs = {name: one.tensor for name, one in drawn.items()}
    leaf = inputs[differentiable]
    if isinstance(leaf, Tensor) and leaf.is_floating_point():
        inputs[differentiable] = leaf = leaf.detach().clone().requires_grad_()
    torch.manual_seed(0)
    loss = attempt(lambda: call(**inputs))
    if isinstance(loss, Refused):
        return
    assert loss.shape == shape, f"{loss.shape}"
    assert loss.is_floating_point()
    if loss.device.type != "cpu":
        return
    loss.sum().backward()
    if all(one.is_moderate for one in drawn.values()):
        assert loss.isfinite().all(), f"{loss}"
        assert leaf.grad is None or leaf.grad.isfinite().all(), f"{leaf.grad}"


@examples(few=100, many=8_000)
def test_regularizers(examples: int) -> None:
    modules = {name: case.module() for name, case in REGULARIZERS.items()}

    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(modules)))
        case = REGULARIZERS[name]
        drawn = data.draw(batches(case.label_dimensions, feature_sizes=case.feature_sizes))

        def call(features: Any, labels: Any, predictions: Any, weights: Any) -> Tensor:
            loss: Tensor = modules[name](features, labels, predictions, weights)
            return loss

        judge(call, "features", drawn, ())

    search(check, examples, data=st.data())


@examples(few=100, many=8_000)
def test_criteria(examples: int) -> None:
    modules: dict[tuple[str, int], nn.Module] = {
        (name, k): case.module(k) for name, case in CRITERIA.items() for k in case.label_dimensions
    }

    def check(data: st.DataObject) -> None:
        name, k = data.draw(st.sampled_from(sorted(modules)))
        drawn = data.draw(batches((k,), outputs=CRITERIA[name].outputs))
        del drawn["features"]

        def call(labels: Any, predictions: Any, weights: Any) -> Tensor:
            loss: Tensor = modules[name, k](predictions, labels, weights)
            return loss

        judge(call, "predictions", drawn, ())

    search(check, examples, data=st.data())


@examples(few=50, many=3_000)
def test_smoothers(examples: int) -> None:
    """Features of any kind pass through, in training and in evaluation, and epochs end."""
    modules = {(name, k): case.module(k) for name, case in SMOOTHERS.items() for k in case.label_dimensions}
    states = {key: {name: value.clone() for name, value in one.state_dict().items()} for key, one in modules.items()}

    def check(data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(modules)))
        drawn = data.draw(batches((key[1],), feature_sizes=(3,)))
        module = modules[key].train(data.draw(st.integers(0, 3)) > 0)
        module.load_state_dict(states[key])
        features, labels = drawn["features"], drawn["labels"]
        torch.manual_seed(0)
        smoothed = attempt(partial(module, features.tensor, labels.tensor))
        if isinstance(smoothed, Refused):
            return
        assert smoothed.shape == features.tensor.shape
        if features.is_moderate and labels.is_moderate and smoothed.device.type == "cpu":
            assert smoothed.isfinite().all()
        cast("Any", module).on_train_epoch_end()
        values = [value for value in module.state_dict().values() if value.is_floating_point()]
        assert all(value.isfinite().all() for value in values), "a batch must not spoil the running statistics"

    search(check, examples, data=st.data())
