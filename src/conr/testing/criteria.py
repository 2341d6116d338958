"""The contract of criteria: what must hold for each of them, whatever its equation."""

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conr.density import Bins
from conr.testing.common import TOLERANCE, Batch, contract, make_batch, named_checks

Oracle = Callable[..., list[float]]
"""Called with lists: predictions, labels and weights, and settings by keyword."""


@dataclass(frozen=True)
class CriterionCase:
    """A configured criterion and what is true of it.

    Args:
        make: called with the settings and ``reduction``: ``"mean"`` (the default), ``"sum"`` or ``"none"``; returns a
            module that is called as ``module(predictions, labels, weights)``. If it has ``fit``, that is called before
            with the labels of a training set and their bins.
        settings: keyword arguments of ``make``.
        oracle: a plain loop over the equation, called as ``oracle(predictions, labels, weights, **settings)`` with
            nested lists of float: the losses of all samples. It is not checked if None.
        oracle_settings: keyword arguments of ``oracle``, from the module (what it has learned in ``fit``) and the
            batch; ``settings`` if None.
        outputs: further dimensions of the predictions of each label, such as (4,) for four parameters.
        label_dimensions: k of the labels (n, k) that it can take.
        zero_on: names of ``DEGENERATE_OUTPUTS`` batches in which loss and gradient are exactly 0.
        exempt: names of checks that do not hold for a reason of mathematics, each with that reason. The check must then
            fail; what holds instead needs a test of its own.
    """

    make: Callable[..., nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    oracle: Oracle | None = None
    oracle_settings: Callable[[nn.Module, Batch], Mapping[str, Any]] | None = None
    outputs: tuple[int, ...] = ()
    label_dimensions: tuple[int, ...] = (1, 2, 3)
    zero_on: tuple[str, ...] = ("no samples",)
    exempt: Mapping[str, str] = field(default_factory=dict)

    def build(self, k: int | None = None, **changes: Any) -> nn.Module:
        """The module with its settings, fitted to k label dimensions: those of `batch` by default."""
        module = self.make(**{**self.settings, **changes})
        fit = getattr(module, "fit", None)
        if fit is not None:
            fit(*training_labels(self._dimensions if k is None else k))
        return module

    def batch(self, seed: int = 3, n: int = 16, k: int | None = None) -> Batch:
        """A batch that it can take, several label dimensions if possible: errors of about 1, no two alike."""
        return make_output_batch(seed, n, self._dimensions if k is None else k, self.outputs)

    @property
    def _dimensions(self) -> int:
        return min(2, self.label_dimensions[-1])


def training_labels(k: int) -> tuple[Tensor, Bins]:
    """Labels (80, k) that criteria are fitted to, mostly small ones, and their bins; the batches' labels are inside."""
    generator = torch.Generator().manual_seed(0)
    labels = (6 * torch.rand(80, k, generator=generator, dtype=torch.float64) ** 2).floor()
    return labels, Bins([[0, 1, 2, 3, 4, 5, 6]] * k)


def make_output_batch(seed: int, n: int, k: int, outputs: tuple[int, ...] = ()) -> Batch:
    """A random batch with predictions (n, k, ...), not on a grid, so that no error is 0 and none are equal."""
    batch = make_batch(seed, n=n, d=1, k=k)
    noise = torch.randn(n, k, *outputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return batch._replace(predictions=noise + batch.labels.reshape(n, k, *(1 for _ in outputs)))


def _exact(batch: Batch) -> Batch:
    extra = batch.predictions.ndim - batch.labels.ndim
    return batch._replace(predictions=batch.predictions * 0 + batch.labels.reshape(*batch.labels.shape, *(1,) * extra))


DEGENERATE_OUTPUTS: dict[str, Callable[[Batch], Batch]] = {
    "no samples": lambda batch: batch.rows(slice(0)),
    "one sample": lambda batch: batch.rows(slice(1)),
    "two samples": lambda batch: batch.rows(slice(2)),
    "equal labels": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "unknown labels": lambda batch: batch._replace(labels=batch.labels + 100),
    "exact predictions": _exact,
    "equal predictions": lambda batch: batch._replace(predictions=torch.zeros_like(batch.predictions)),
    "huge predictions": lambda batch: batch._replace(predictions=1e6 * batch.predictions),
    "tiny weights": lambda batch: batch._replace(weights=1e-30 * batch.weights),
}
"""Batches in which something that an equation needs is missing; made of the 16 samples of ``CriterionCase.batch``."""


def _call(module: Callable[..., Tensor], batch: Batch) -> Tensor:
    torch.manual_seed(0)  # a criterion may draw random numbers
    return module(batch.predictions, batch.labels, batch.weights)


def _gradient(module: Callable[..., Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
    predictions = batch.predictions.detach().clone().requires_grad_()
    loss = _call(module, batch._replace(predictions=predictions))
    assert loss.requires_grad, "expected a loss with a graph, also where it is 0"
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert predictions.grad is not None
    return loss.detach(), predictions.grad


def equals_its_oracle(case: CriterionCase) -> None:
    """On random batches of all label dimensions, the losses of the samples are the oracle's."""
    oracle = case.oracle
    assert oracle is not None
    modules = {k: case.build(k, reduction="none") for k in case.label_dimensions}

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**31), n=st.integers(1, 24), k=st.sampled_from(case.label_dimensions))
    def equal(seed: int, n: int, k: int) -> None:
        batch = case.batch(seed, n, k)
        inputs = (batch.predictions.tolist(), batch.labels.tolist(), batch.weights.tolist())
        found = case.settings if case.oracle_settings is None else case.oracle_settings(modules[k], batch)
        expected = torch.tensor(oracle(*inputs, **found), dtype=torch.float64)
        torch.testing.assert_close(_call(modules[k], batch), expected, **TOLERANCE[torch.float64])

    equal()


def reductions_agree(case: CriterionCase) -> None:
    """``"sum"`` is the sum of the losses of the samples, ``"mean"`` and the default are the sum over n."""
    batch = case.batch()
    losses = _call(case.build(reduction="none"), batch)
    assert losses.shape == batch.weights.shape
    torch.testing.assert_close(_call(case.build(reduction="sum"), batch), losses.sum(), **TOLERANCE[torch.float64])
    for module in (case.build(), case.build(reduction="mean")):
        torch.testing.assert_close(_call(module, batch), losses.mean(), **TOLERANCE[torch.float64])


def has_something_to_do(case: CriterionCase) -> None:
    """The batches of the other checks are no trivial ones: most samples get a gradient, and all parameters do."""
    module = case.build(reduction="none")
    losses, grad = _gradient(module, case.batch())
    assert (losses != 0).all()
    assert grad.flatten(1).any(dim=1).sum() > len(grad) / 2  # two terms of a loss may pull in opposite directions
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == parameter.requires_grad, name


def gradient_equals_finite_differences(case: CriterionCase) -> None:
    """`torch.autograd.gradcheck` in float64."""
    module = case.build(reduction="none").requires_grad_(requires_grad=False)
    for seed in (3, 4):
        batch = case.batch(seed, n=6)

        def losses(predictions: Tensor, batch: Batch = batch) -> Tensor:
            return _call(module, batch._replace(predictions=predictions))

        assert torch.autograd.gradcheck(losses, batch.predictions.requires_grad_())


def order_of_samples_does_not_matter(case: CriterionCase) -> None:
    """Shuffling a batch shuffles losses and gradient."""
    batch = case.batch()
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
    losses, grad = _gradient(case.build(reduction="none"), batch)
    shuffled_losses, shuffled_grad = _gradient(case.build(reduction="none"), batch.rows(order))
    torch.testing.assert_close(shuffled_losses, losses[order], **TOLERANCE[torch.float64])
    torch.testing.assert_close(shuffled_grad, grad[order], **TOLERANCE[torch.float64])


def flat_labels_are_one_dimension(case: CriterionCase) -> None:
    """Labels (n,) mean the same as (n, 1)."""
    batch = case.batch(k=1)
    flat = batch._replace(labels=batch.labels.squeeze(1), predictions=batch.predictions.squeeze(1))
    assert torch.equal(_call(case.build(1), flat), _call(case.build(1), batch))


def integer_labels_are_numbers(case: CriterionCase) -> None:
    """Labels of an integer type give what the same floating-point labels give."""
    batch = case.batch()
    expected = _call(case.build(), batch)
    assert torch.equal(_call(case.build(), batch._replace(labels=batch.labels.long())), expected)


def weights_multiply(case: CriterionCase) -> None:
    """Weights multiply the losses of their samples, and no weights mean weights of 1."""
    batch = case.batch()
    module = case.build(reduction="none")
    plain = _call(module, batch._replace(weights=torch.ones_like(batch.weights)))
    torch.testing.assert_close(_call(module, batch), batch.weights * plain, **TOLERANCE[torch.float64])
    torch.manual_seed(0)
    assert torch.equal(module(batch.predictions, batch.labels), plain)
    torch.manual_seed(0)
    assert torch.equal(module(batch.predictions, batch.labels, None), plain)


def stays_finite(case: CriterionCase, name: str) -> None:
    """Loss and gradient of a degenerate batch are finite, 0 where the case says so, and have a graph."""
    for dtype in (torch.float32, torch.float64):
        loss, grad = _gradient(case.build(), DEGENERATE_OUTPUTS[name](case.batch()).to(dtype))
        assert torch.isfinite(loss), f"loss {loss} in {dtype}"
        assert torch.isfinite(grad).all(), f"gradient {grad} in {dtype}"
        if name in case.zero_on:
            assert loss == 0, f"loss {loss} in {dtype}"
            assert not grad.any(), f"gradient {grad} in {dtype}"


def a_nan_is_not_hidden(case: CriterionCase) -> None:
    """A NaN among the predictions, such as a diverged training makes, is a NaN in the loss."""
    batch = case.batch()
    batch.predictions[1] = torch.nan
    assert _call(case.build(), batch).isnan()


def lower_precision_is_computed_in_float32(case: CriterionCase, dtype: torch.dtype) -> None:
    """With predictions of a lower precision, the loss is the float32 loss of these, the gradient rounded."""
    batch = case.batch()
    predictions = batch.predictions.to(dtype)
    expected, expected_grad = _gradient(case.build(), batch._replace(predictions=predictions.double()))
    loss, grad = _gradient(case.build(), batch._replace(predictions=predictions))
    assert loss.dtype == torch.float32
    assert grad.dtype == dtype
    torch.testing.assert_close(loss.double(), expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad.double(), expected_grad, **TOLERANCE[dtype])


def autocast_does_not_lower_the_precision(case: CriterionCase) -> None:
    """Under autocast to bfloat16, loss and gradient are bit for bit those of float32."""
    batch = case.batch().to(torch.float32)
    expected, expected_grad = _gradient(case.build(), batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, grad = _gradient(case.build(), batch)
    assert torch.equal(loss, expected)
    assert torch.equal(grad, expected_grad)


def inputs_are_not_changed(case: CriterionCase) -> None:
    """Forward and backward leave all inputs as they were."""
    batch = case.batch()
    before = copy.deepcopy(batch)
    predictions = batch.predictions.requires_grad_()
    _call(case.build(), batch._replace(predictions=predictions)).backward()  # type: ignore[no-untyped-call]
    for tensor, original in zip(batch, before, strict=True):
        assert torch.equal(tensor, original)


def backward_twice_gives_the_same(case: CriterionCase) -> None:
    """With ``retain_graph``, a second backward pass gives the same gradient."""
    batch = case.batch()
    predictions = batch.predictions.requires_grad_()
    loss = _call(case.build(), batch._replace(predictions=predictions))
    (first,) = torch.autograd.grad(loss, predictions, retain_graph=True)
    (second,) = torch.autograd.grad(loss, predictions)
    assert torch.equal(first, second)


def survives_pickle_copy_and_state_dict(case: CriterionCase) -> None:
    """A pickled, copied or moved module, and a new one with its state, computes the same."""
    batch = case.batch()
    module = case.build()
    expected = _call(module, batch)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), module.to("cpu")):  # noqa: S301
        assert torch.equal(_call(twin, batch), expected)
    fresh = case.build()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(_call(fresh, batch), expected)


def compiles_to_the_same_value(case: CriterionCase) -> None:
    """`torch.compile` makes one graph of it."""
    batch = case.batch().to(torch.float32)
    expected, expected_grad = _gradient(case.build(), batch)
    torch.compiler.reset()
    loss, grad = _gradient(torch.compile(case.build(), backend="aot_eager", fullgraph=True), batch)
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad, expected_grad, **TOLERANCE[torch.float32])


def wrong_shapes_and_dtypes_are_refused(case: CriterionCase) -> None:
    """Predictions, labels or weights of another length, rank or kind raise an error that names them."""
    batch = case.batch()
    wrong: dict[str, tuple[Any, ...]] = {
        "predictions": (
            batch.predictions[1:],
            batch.predictions.unsqueeze(-1),
            batch.predictions.long(),
            batch.predictions.tolist(),
        ),
        "labels": (batch.labels[1:], batch.labels.unsqueeze(-1), batch.labels.bool(), batch.labels.tolist()),
        "weights": (batch.weights[1:], batch.weights.long(), batch.weights.tolist()),
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=name):
                _call(case.build(), batch._replace(**{name: value}))


def fits_again_as_before(case: CriterionCase) -> None:
    """A second fit forgets the first, and returns the criterion."""
    batch = case.batch()
    module = case.build()
    expected = _call(module, batch)
    labels, bins = training_labels(batch.labels.shape[1])
    fit: Callable[..., nn.Module] = module.fit  # type: ignore[assignment]
    assert fit(labels[:7], bins) is module
    assert fit(labels, bins) is module
    assert torch.equal(_call(module, batch), expected)


def must_see_training_labels(case: CriterionCase) -> None:
    """Without a fit, or after one that failed, the criterion says that it must be fitted."""
    batch = case.batch()
    labels, bins = training_labels(batch.labels.shape[1])
    for bad in (labels[:0], labels * torch.nan):
        module = case.make(**case.settings)
        with pytest.raises(ValueError, match="labels"):
            module.fit(bad, bins)  # type: ignore[operator]
        with pytest.raises(RuntimeError, match="call fit"):
            _call(module, batch)


def fits_equal_labels(case: CriterionCase) -> None:
    """Training labels that are all equal, or a single one, leave loss and gradient finite."""
    batch = case.batch()
    labels, bins = training_labels(batch.labels.shape[1])
    for few in (labels[:1], labels[:1].expand(5, -1)):
        module = case.make(**case.settings)
        module.fit(few, bins)  # type: ignore[operator]
        loss, grad = _gradient(module, batch)
        assert torch.isfinite(loss)
        assert torch.isfinite(grad).all()


CRITERION_CHECKS: dict[str, Callable[[CriterionCase], None]] = named_checks(
    (
        equals_its_oracle,
        reductions_agree,
        has_something_to_do,
        gradient_equals_finite_differences,
        order_of_samples_does_not_matter,
        flat_labels_are_one_dimension,
        integer_labels_are_numbers,
        weights_multiply,
        a_nan_is_not_hidden,
        autocast_does_not_lower_the_precision,
        inputs_are_not_changed,
        backward_twice_gives_the_same,
        survives_pickle_copy_and_state_dict,
        compiles_to_the_same_value,
        wrong_shapes_and_dtypes_are_refused,
        fits_again_as_before,
        must_see_training_labels,
        fits_equal_labels,
    ),
    stays_finite=stays_finite,
    degenerate=DEGENERATE_OUTPUTS,
    computed_in_float32=lower_precision_is_computed_in_float32,
    dtypes=(torch.float32, torch.float16, torch.bfloat16),
)


def _checks_of(case: CriterionCase) -> dict[str, Callable[[CriterionCase], None]]:
    without = set()
    if case.oracle is None:
        without.add("equals_its_oracle")
    if 1 not in case.label_dimensions:
        without.add("flat_labels_are_one_dimension")
    if not hasattr(case.make(**case.settings), "fit"):
        without |= {"fits_again_as_before", "must_see_training_labels", "fits_equal_labels"}
    return {name: check for name, check in CRITERION_CHECKS.items() if name not in without}


def criterion_contract(cases: Mapping[str, CriterionCase]) -> pytest.MarkDecorator:
    """Decorator that tests criteria, by name, against every check of ``CRITERION_CHECKS``; see `contract`."""
    return contract(_checks_of, cases)
