"""The contract of regularizers: what must hold for each of them, whatever its equation."""

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from conr.testing.common import TOLERANCE, Batch, batches, contract, make_batch, named_checks

Oracle = Callable[..., list[float] | float]
"""Called with lists: features, labels, predictions, weights, and the settings of the case."""


@dataclass(frozen=True)
class RegularizerCase:
    """A configured regularizer and what is true of it.

    Args:
        make: called with the settings (and ``reduction``, if ``per_sample``); returns a module that is called as
            ``module(features, labels, predictions, weights)``.
        settings: keyword arguments of ``make`` and of ``oracle``.
        oracle: a plain loop over the equation, called as ``oracle(features, labels, predictions, weights, **settings)``
            with nested lists of float: the terms of all samples, of which the loss is the sum over n, or without
            ``per_sample`` the loss. It is not checked if None.
        per_sample: whether the loss is a mean of one term per sample, so that ``make`` takes ``reduction``: ``"mean"``
            (the default), ``"sum"`` or ``"none"``.
        label_dimensions: k of the labels (n, k) that it can take.
        feature_sizes: d of the features (n, d) that it can take.
        zero_on: names of ``DEGENERATE`` batches in which it has nothing to do: loss and gradient are exactly 0.
        stress: settings under which it must stay finite too, such as a small temperature.
        fullgraph: whether `torch.compile` makes one graph of it; else it may fall back to Python where values decide.
        exempt: names of checks that do not hold for a reason of mathematics, each with that reason. The check must then
            fail; what holds instead needs a test of its own.
    """

    make: Callable[..., nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    oracle: Oracle | None = None
    per_sample: bool = True
    label_dimensions: tuple[int, ...] = (1, 2, 3)
    feature_sizes: tuple[int, ...] = (1, 2, 3, 4, 5)
    zero_on: tuple[str, ...] = ("one sample", "no samples")
    stress: tuple[Mapping[str, Any], ...] = ()
    fullgraph: bool = True
    exempt: Mapping[str, str] = field(default_factory=dict)

    def build(self, **changes: Any) -> nn.Module:
        """The module with its settings."""
        return self.make(**{**self.settings, **changes})

    def batch(self, seed: int = 3, n: int = 16) -> Batch:
        """A batch that it can take: several label dimensions if possible."""
        return make_batch(seed, n=n, d=self.feature_sizes[-1], k=min(2, self.label_dimensions[-1]))


def _far_apart(batch: Batch) -> Batch:
    """Four labels further apart than 1, also as angles."""
    labels = torch.zeros_like(batch.labels)
    labels[:, -1] = torch.tensor([0.0, 1.5, 3.0, 4.5])
    return batch._replace(labels=labels)


DEGENERATE: dict[str, Callable[[Batch], Batch]] = {
    "no samples": lambda batch: batch.rows(slice(0)),
    "one sample": lambda batch: batch.rows(slice(1)),
    "two samples": lambda batch: batch.rows(slice(2)),
    "equal labels": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "far labels": lambda batch: _far_apart(batch.rows(slice(4))),
    "far predictions": lambda batch: batch._replace(predictions=batch.labels * 1000),
    "equal predictions": lambda batch: batch._replace(predictions=torch.zeros_like(batch.predictions)),
    "zero features": lambda batch: batch._replace(features=torch.zeros_like(batch.features)),
    "one zero feature": lambda batch: batch._replace(features=batch.features * (torch.arange(16) != 3).unsqueeze(1)),
    "equal features": lambda batch: batch._replace(features=torch.ones_like(batch.features)),
    "opposite features": lambda batch: batch._replace(features=batch.labels[:, :1].sub(2).sign() * batch.features[:1]),
    "huge features": lambda batch: batch._replace(features=1e15 * batch.features),
    "tiny weights": lambda batch: batch._replace(weights=1e-30 * batch.weights),
}
"""Batches in which something that an equation needs is missing; made of the 16 samples of ``RegularizerCase.batch``."""


def _call(module: Callable[..., Tensor], batch: Batch) -> Tensor:
    torch.manual_seed(0)  # a regularizer may draw random numbers
    return module(*batch)


def _gradient(module: Callable[..., Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
    features = batch.features.detach().clone().requires_grad_()
    loss = _call(module, batch._replace(features=features))
    assert loss.requires_grad, "expected a loss with a graph, also where it is 0"
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    return loss.detach(), features.grad


def _terms(case: RegularizerCase) -> nn.Module:
    return case.build(reduction="none") if case.per_sample else case.build()


def equals_its_oracle(case: RegularizerCase) -> None:
    """On random batches of all label dimensions, the value is the oracle's."""
    oracle = case.oracle
    assert oracle is not None

    @settings(max_examples=40, deadline=None)
    @given(batch=batches(case.label_dimensions, case.feature_sizes))
    def equal(batch: Batch) -> None:
        expected = torch.tensor(oracle(*(tensor.tolist() for tensor in batch), **case.settings), dtype=torch.float64)
        terms = _call(_terms(case), batch)
        torch.testing.assert_close(terms, expected, **TOLERANCE[torch.float64])

    equal()


def reductions_agree(case: RegularizerCase) -> None:
    """``"sum"`` is the sum of the terms, ``"mean"`` and the default are the sum over n."""
    if not case.per_sample:
        with pytest.raises(TypeError):
            case.build(reduction="none")
        return
    batch = case.batch()
    terms = _call(_terms(case), batch)
    assert terms.shape == batch.weights.shape
    torch.testing.assert_close(_call(case.build(reduction="sum"), batch), terms.sum(), **TOLERANCE[torch.float64])
    for module in (case.build(), case.build(reduction="mean")):
        torch.testing.assert_close(_call(module, batch), terms.mean(), **TOLERANCE[torch.float64])


def has_something_to_do(case: RegularizerCase) -> None:
    """The batches of the other checks are no trivial ones: several samples get a gradient."""
    loss, grad = _gradient(_terms(case), case.batch())
    assert (loss != 0).sum() >= min(4, loss.numel())
    assert grad.any(dim=1).sum() >= 4


def gradient_equals_finite_differences(case: RegularizerCase) -> None:
    """`torch.autograd.gradcheck` in float64."""
    module = _terms(case)
    for seed in (3, 4):
        batch = case.batch(seed, n=8)

        def loss(features: Tensor, batch: Batch = batch) -> Tensor:
            return _call(module, batch._replace(features=features))

        assert torch.autograd.gradcheck(loss, batch.features.requires_grad_())


def order_of_samples_does_not_matter(case: RegularizerCase) -> None:
    """Shuffling a batch shuffles terms and gradient."""
    batch = case.batch()
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
    terms, grad = _gradient(_terms(case), batch)
    shuffled_terms, shuffled_grad = _gradient(_terms(case), batch.rows(order))
    torch.testing.assert_close(shuffled_terms, terms[order] if case.per_sample else terms, **TOLERANCE[torch.float64])
    torch.testing.assert_close(shuffled_grad, grad[order], **TOLERANCE[torch.float64])


def flat_labels_are_one_dimension(case: RegularizerCase) -> None:
    """Labels (n,) mean the same as (n, 1)."""
    batch = make_batch(3, d=case.feature_sizes[-1], k=1)
    flat = batch._replace(labels=batch.labels.squeeze(1), predictions=batch.predictions.squeeze(1))
    assert torch.equal(_call(case.build(), flat), _call(case.build(), batch))


def weights_default_to_one(case: RegularizerCase) -> None:
    """No weights mean weights of 1."""
    batch = case.batch()
    expected = _call(case.build(), batch._replace(weights=torch.ones_like(batch.weights)))
    torch.manual_seed(0)
    assert torch.equal(case.build()(*batch[:3], None), expected)


def stays_finite(case: RegularizerCase, name: str) -> None:
    """Loss and gradient of a degenerate batch are finite, 0 where the case says so, and have a graph."""
    for dtype in (torch.float32, torch.float64):
        batch = DEGENERATE[name](case.batch()).to(dtype)
        for changes in ({}, *case.stress):
            loss, grad = _gradient(case.build(**changes), batch)
            assert torch.isfinite(loss), f"loss {loss} in {dtype} with {changes}"
            assert torch.isfinite(grad).all(), f"gradient {grad} in {dtype} with {changes}"
            if name in case.zero_on:
                assert loss == 0, f"loss {loss} in {dtype} with {changes}"
                assert not grad.any(), f"gradient {grad} in {dtype} with {changes}"


def a_nan_is_not_hidden(case: RegularizerCase) -> None:
    """A NaN among the features, such as a diverged training makes, is a NaN in the loss."""
    batch = case.batch()
    batch.features[1, 0] = torch.nan
    assert _call(case.build(), batch).isnan()


def lower_precision_is_computed_in_float32(case: RegularizerCase, dtype: torch.dtype) -> None:
    """With features of a lower precision, the loss is the float32 loss of these features, the gradient rounded."""
    batch = case.batch()
    features = batch.features.to(dtype)
    expected, expected_grad = _gradient(case.build(), batch._replace(features=features.double()))
    loss, grad = _gradient(case.build(), batch._replace(features=features))
    assert loss.dtype == torch.float32
    assert grad.dtype == dtype
    torch.testing.assert_close(loss.double(), expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad.double(), expected_grad, **TOLERANCE[dtype])
    for changes in case.stress:
        loss, grad = _gradient(case.build(**changes), batch.to(dtype))
        assert torch.isfinite(loss), f"loss {loss} with {changes}"
        assert torch.isfinite(grad).all(), f"gradient {grad} with {changes}"


def autocast_does_not_lower_the_precision(case: RegularizerCase) -> None:
    """Under autocast to bfloat16, loss and gradient are bit for bit those of float32."""
    batch = case.batch().to(torch.float32)
    expected, expected_grad = _gradient(case.build(), batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, grad = _gradient(case.build(), batch)
    assert torch.equal(loss, expected)
    assert torch.equal(grad, expected_grad)


def inputs_are_not_changed(case: RegularizerCase) -> None:
    """Forward and backward leave all inputs as they were."""
    batch = case.batch()
    before = copy.deepcopy(batch)
    features = batch.features.requires_grad_()
    _call(case.build(), batch._replace(features=features)).backward()  # type: ignore[no-untyped-call]
    for tensor, original in zip(batch, before, strict=True):
        assert torch.equal(tensor, original)


def only_features_get_a_gradient(case: RegularizerCase) -> None:
    """Labels, predictions and weights are constants."""
    batch = Batch(*(tensor.requires_grad_() for tensor in case.batch()))
    _call(case.build(), batch).backward()  # type: ignore[no-untyped-call]
    assert batch.features.grad is not None
    assert batch.labels.grad is None
    assert batch.predictions.grad is None
    assert batch.weights.grad is None


def backward_twice_gives_the_same(case: RegularizerCase) -> None:
    """With ``retain_graph``, a second backward pass gives the same gradient."""
    batch = case.batch()
    features = batch.features.requires_grad_()
    loss = _call(case.build(), batch._replace(features=features))
    (first,) = torch.autograd.grad(loss, features, retain_graph=True)
    (second,) = torch.autograd.grad(loss, features)
    assert torch.equal(first, second)


def survives_pickle_copy_and_state_dict(case: RegularizerCase) -> None:
    """A pickled, copied or moved module, and a new one with its state, computes the same."""
    batch = case.batch()
    torch.manual_seed(1)
    module = case.build()
    expected = _call(module, batch)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), module.to("cpu")):  # noqa: S301
        assert torch.equal(_call(twin, batch), expected)
    torch.manual_seed(2)  # what is drawn at random belongs to the state
    fresh = case.build()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(_call(fresh, batch), expected)


def compiles_to_the_same_value(case: RegularizerCase) -> None:
    """`torch.compile` changes nothing, and makes one graph of it if ``fullgraph``."""
    batch = case.batch().to(torch.float32)
    expected, expected_grad = _gradient(case.build(), batch)
    torch.compiler.reset()
    loss, grad = _gradient(torch.compile(case.build(), backend="aot_eager", fullgraph=case.fullgraph), batch)
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad, expected_grad, **TOLERANCE[torch.float32])


def wrong_shapes_and_dtypes_are_refused(case: RegularizerCase) -> None:
    """Features that are no floating-point matrix and labels or weights of another length raise an error."""
    batch = case.batch()
    wrong: dict[str, tuple[Any, ...]] = {
        "features": (batch.features[:, 0], batch.features.long(), batch.features.tolist()),
        "labels": (batch.labels[1:], batch.labels.unsqueeze(2), batch.labels.bool()),
        "weights": (batch.weights[1:], batch.weights.long()),
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=name):
                case.build()(*batch._replace(**{name: value}))


REGULARIZER_CHECKS: dict[str, Callable[[RegularizerCase], None]] = named_checks(
    (
        equals_its_oracle,
        reductions_agree,
        has_something_to_do,
        gradient_equals_finite_differences,
        order_of_samples_does_not_matter,
        flat_labels_are_one_dimension,
        weights_default_to_one,
        a_nan_is_not_hidden,
        autocast_does_not_lower_the_precision,
        inputs_are_not_changed,
        only_features_get_a_gradient,
        backward_twice_gives_the_same,
        survives_pickle_copy_and_state_dict,
        compiles_to_the_same_value,
        wrong_shapes_and_dtypes_are_refused,
    ),
    stays_finite=stays_finite,
    degenerate=DEGENERATE,
    computed_in_float32=lower_precision_is_computed_in_float32,
    dtypes=(torch.float32, torch.float16, torch.bfloat16),
)


def _checks_of(case: RegularizerCase) -> dict[str, Callable[[RegularizerCase], None]]:
    without = set()
    if case.oracle is None:
        without.add("equals_its_oracle")
    if 1 not in case.label_dimensions:
        without.add("flat_labels_are_one_dimension")
    return {name: check for name, check in REGULARIZER_CHECKS.items() if name not in without}


def regularizer_contract(cases: Mapping[str, RegularizerCase]) -> pytest.MarkDecorator:
    """Decorator that tests regularizers, by name, against every check of ``REGULARIZER_CHECKS``; see `contract`."""
    return contract(_checks_of, cases)
