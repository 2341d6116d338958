"""The contract of layers between encoder and head that keep statistics of features per label bin."""

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conr.density import Bins
from conr.testing.common import TOLERANCE, Batch, contract, make_batch, named_checks

Rows = list[list[float]]

EDGES = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
"""Of the bins in each label dimension; labels of the batches are whole numbers from 0 to 5."""


Oracle = Callable[..., Rows]
"""Called with lists: the features and labels of each epoch as pairs, features and labels of a batch, the edges of each
label dimension, and settings by keyword. Returns what the batch becomes in training after these epochs."""


@dataclass(frozen=True)
class SmootherCase:
    """A configured smoother and what is true of it.

    Args:
        make: called as ``make(num_features, bins, **settings)``, without ``bins`` where ``fit`` is to bring them;
            returns a module that is called as ``module(features, labels)`` and has ``fit(labels, bins)`` and
            ``on_train_epoch_end()``.
        settings: keyword arguments of ``make`` and of ``oracle``.
        oracle: see `Oracle`. It is not checked if None.
        oracle_settings: keyword arguments of ``oracle``, from the module and the batch; ``settings`` if None. Random
            numbers are drawn after ``torch.manual_seed(0)``.
        label_dimensions: k of the labels (n, k) that it can take.
        exempt: names of checks that do not hold for a reason of mathematics, each with that reason. The check must then
            fail; what holds instead needs a test of its own.
    """

    make: Callable[..., nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    oracle: Oracle | None = None
    oracle_settings: Callable[[nn.Module, Batch], Mapping[str, Any]] | None = None
    label_dimensions: tuple[int, ...] = (1, 2)
    exempt: Mapping[str, str] = field(default_factory=dict)

    def build(self, k: int | None = None, dtype: torch.dtype = torch.float64) -> nn.Module:
        """The module, in training mode, for features of size 3 and k label dimensions: those of `batch` by default."""
        torch.manual_seed(1)
        return self.make(3, self.bins(k), **self.settings).to(dtype)

    def trained(self, k: int | None = None, dtype: torch.dtype = torch.float64, epochs: int = 2) -> nn.Module:
        """The module after some epochs of one batch each."""
        module = self.build(k, dtype)
        for seed in range(epochs):
            _call(module, self.batch(10 + seed, n=200, k=k).to(dtype))
            _end_epoch(module)
        return module

    def bins(self, k: int | None = None) -> Bins:
        """Bins over k label dimensions, of which the last one in each never has a sample."""
        return Bins([EDGES] * (self._dimensions if k is None else k))

    def batch(self, seed: int = 3, n: int = 16, k: int | None = None) -> Batch:
        """A batch that it can take: features whose mean and spread follow the label."""
        batch = make_batch(seed, n=n, d=3, k=self._dimensions if k is None else k)
        label = batch.labels.mean(dim=1, keepdim=True)  # (n, 1)
        return batch._replace(features=(1 + label / 4) * batch.features + label * torch.tensor([1.0, -0.5, 0.0]))

    @property
    def _dimensions(self) -> int:
        return min(2, self.label_dimensions[-1])


DEGENERATE_FEATURES: dict[str, Callable[[Batch], Batch]] = {
    "no samples": lambda batch: batch.rows(slice(0)),
    "one sample": lambda batch: batch.rows(slice(1)),
    "equal labels": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "labels outside the bins": lambda batch: batch._replace(labels=100 * (batch.labels - 3)),
    "equal features": lambda batch: batch._replace(features=torch.ones_like(batch.features)),
    "one dead feature": lambda batch: batch._replace(features=batch.features * torch.tensor([1, 0, 1])),
    "huge features": lambda batch: batch._replace(features=1e15 * batch.features),
    "infinite squares": lambda batch: batch._replace(features=1e25 * batch.features),
}
"""Batches in which something that an equation needs is missing; made of the 16 samples of ``SmootherCase.batch``."""


def _call(module: Callable[..., Tensor], batch: Batch) -> Tensor:
    torch.manual_seed(0)  # a smoother may draw random numbers
    return module(batch.features, batch.labels)


def _end_epoch(module: nn.Module) -> None:
    cast("Callable[[], None]", module.on_train_epoch_end)()


def _gradient(module: Callable[..., Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
    features = batch.features.detach().clone().requires_grad_()
    smoothed = _call(module, batch._replace(features=features))
    smoothed.square().sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    return smoothed.detach(), features.grad


def _equal_states(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def equals_its_oracle(case: SmootherCase) -> None:
    """After random epochs of random batches, a random batch becomes what the oracle says."""
    oracle = case.oracle
    assert oracle is not None

    sizes, dimensions = st.integers(1, 24), st.sampled_from(case.label_dimensions)

    @settings(max_examples=12, deadline=None)
    @given(seed=st.integers(0, 2**31), n=sizes, epochs=st.integers(0, 3), k=dimensions)
    def equal(seed: int, n: int, epochs: int, k: int) -> None:
        module = case.build(k)
        history = []
        for epoch in range(epochs):
            batch = case.batch(seed + epoch, 2 * n, k)
            for rows in (slice(0, n // 2), slice(n // 2, None)):
                _call(module, batch.rows(rows))
            _end_epoch(module)
            history.append((batch.features.tolist(), batch.labels.tolist()))
        batch = case.batch(seed + epochs, n, k)
        found = case.settings if case.oracle_settings is None else case.oracle_settings(module, batch)
        expected = oracle(history, batch.features.tolist(), batch.labels.tolist(), [EDGES] * k, **found)
        wanted = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(_call(module, batch), wanted, rtol=1e-8, atol=1e-8)

    equal()


def evaluation_changes_nothing(case: SmootherCase) -> None:
    """In evaluation mode features pass through as they are, and nothing is learned from them."""
    module = case.trained().eval()
    before = copy.deepcopy(module)
    batch = case.batch()
    assert torch.equal(_call(module, batch), batch.features)
    assert _equal_states(module, before)


def changes_nothing_before_it_knows(case: SmootherCase) -> None:
    """In the first epoch there are no statistics, and features pass through."""
    batch = case.batch()
    assert torch.equal(_call(case.build(), batch), batch.features)


def has_something_to_do(case: SmootherCase) -> None:
    """The batches of the other checks are no trivial ones: most samples are moved, all parameters get a gradient."""
    module, batch = case.trained(), case.batch()
    smoothed, grad = _gradient(module, batch)
    assert (smoothed != batch.features).any(dim=1).sum() > len(grad) / 2
    assert grad.any(dim=1).all()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def gradient_equals_finite_differences(case: SmootherCase) -> None:
    """`torch.autograd.gradcheck` in float64; statistics are constants."""
    module = case.trained().requires_grad_(requires_grad=False)
    batch = case.batch(n=8)

    def smoothed(features: Tensor) -> Tensor:
        return _call(module, batch._replace(features=features))

    assert torch.autograd.gradcheck(smoothed, batch.features.requires_grad_())


def batches_of_an_epoch_count_as_one(case: SmootherCase) -> None:
    """How the samples of an epoch are divided and ordered changes nothing."""
    batch = case.batch(5, n=40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    whole, parts = case.trained(), case.trained()
    _call(whole, batch)
    for rows in torch.split(order, [1, 20, 0, 19]):
        _call(parts, batch.rows(rows))
    for module in (whole, parts):
        _end_epoch(module)
    torch.testing.assert_close(_call(parts, case.batch()), _call(whole, case.batch()), **TOLERANCE[torch.float64])


def order_of_samples_does_not_matter(case: SmootherCase) -> None:
    """Shuffling a batch shuffles what it becomes."""
    module, batch = case.trained(), case.batch()
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
    smoothed = _call(module, batch)
    torch.testing.assert_close(_call(module, batch.rows(order)), smoothed[order], **TOLERANCE[torch.float64])


def flat_labels_are_one_dimension(case: SmootherCase) -> None:
    """Labels (n,) mean the same as (n, 1)."""
    batch = case.batch(k=1)
    flat = batch._replace(labels=batch.labels.squeeze(1))
    assert torch.equal(_call(case.trained(1), flat), _call(case.trained(1), batch))


def bins_may_come_later(case: SmootherCase) -> None:
    """Bins by ``fit`` work as those of the constructor, which win; without any, training says what to do."""
    batch = case.batch()
    torch.manual_seed(1)
    module = case.make(3, **case.settings).double()
    with pytest.raises(RuntimeError, match=r"call fit\(labels, bins\)"):
        _call(module, batch)
    with pytest.raises(RuntimeError, match=r"call fit\(labels, bins\)"):
        _end_epoch(module)
    with pytest.raises(ValueError, match="labels"):
        module.fit(batch.labels * torch.nan, case.bins())  # type: ignore[operator]
    torch.manual_seed(1)
    module = case.make(3, **case.settings)
    assert module.fit(batch.labels, case.bins()) is module  # type: ignore[operator]
    own = case.build()
    own.fit(batch.labels, Bins([[0, 10]] * batch.labels.shape[1]))  # type: ignore[operator]
    for each in (module.double(), own.double()):
        _call(each, batch)
        _end_epoch(each)
    assert torch.equal(_call(module, batch), _call(own, batch))


def fitting_again_starts_anew(case: SmootherCase) -> None:
    """After another ``fit``, nothing of the earlier training is left."""
    module, batch = case.trained(), case.batch()
    module.fit(batch.labels, case.bins())  # type: ignore[operator]
    assert torch.equal(_call(module.double(), batch), _call(case.build(), batch))


def stays_finite(case: SmootherCase, name: str) -> None:
    """Epochs of a degenerate batch leave it and its gradient finite, and a good batch after them too."""
    for dtype in (torch.float32, torch.float64):
        module = case.build(dtype=dtype)
        batch = DEGENERATE_FEATURES[name](case.batch()).to(dtype)
        for _ in range(3):
            for one in (batch, case.batch().to(dtype)):
                smoothed, grad = _gradient(module, one)
                assert torch.isfinite(smoothed).all(), f"features in {dtype}"
                assert torch.isfinite(grad).all() or name == "infinite squares", f"gradient in {dtype}"
            _end_epoch(module)


def a_diverged_batch_is_passed_on_and_forgotten(case: SmootherCase) -> None:
    """A NaN among the features stays one, and the sample that has it leaves no trace in the statistics."""
    module, twin, batch = case.trained(), case.trained(), case.batch()
    broken = batch._replace(features=batch.features.clone())
    broken.features[1, 0] = torch.nan
    assert _call(module, broken)[1, 0].isnan()
    _call(twin, batch.rows(torch.arange(16) != 1))
    for each in (module, twin):
        _end_epoch(each)
    torch.testing.assert_close(_call(module, batch), _call(twin, batch), **TOLERANCE[torch.float64])


def lower_precision_is_computed_in_float32(case: SmootherCase, dtype: torch.dtype) -> None:
    """Features of a lower precision become what they do in float32, rounded, and so does the gradient."""
    batch = case.batch().to(torch.float32)
    features = batch.features.to(dtype)
    expected, expected_grad = _gradient(case.trained(dtype=torch.float32), batch._replace(features=features.float()))
    smoothed, grad = _gradient(case.trained(dtype=torch.float32), batch._replace(features=features))
    assert smoothed.dtype == grad.dtype == dtype
    torch.testing.assert_close(smoothed.float(), expected, **TOLERANCE[dtype])
    scale = expected_grad.abs().max()  # an element of the gradient has the rounding of the largest summand
    torch.testing.assert_close(grad.float() / scale, expected_grad / scale, **TOLERANCE[dtype])


def autocast_does_not_lower_the_precision(case: SmootherCase) -> None:
    """Under autocast to bfloat16, features, gradient and statistics are bit for bit those of float32."""
    batch = case.batch().to(torch.float32)
    module, twin = case.trained(dtype=torch.float32), case.trained(dtype=torch.float32)
    expected, expected_grad = _gradient(twin, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        smoothed, grad = _gradient(module, batch)
        _end_epoch(module)
    _end_epoch(twin)
    assert torch.equal(smoothed, expected)
    assert torch.equal(grad, expected_grad)
    assert _equal_states(module, twin)


def inputs_are_not_changed(case: SmootherCase) -> None:
    """Features are smoothed out of place."""
    batch = case.batch()
    before = copy.deepcopy(batch)
    features = batch.features.requires_grad_()
    _call(case.trained(), batch._replace(features=features)).sum().backward()  # type: ignore[no-untyped-call]
    for tensor, original in zip(batch, before, strict=True):
        assert torch.equal(tensor, original)


def statistics_are_constants(case: SmootherCase) -> None:
    """No gradient flows into earlier batches, nor do their graphs stay in memory."""
    module, batch = case.trained(), case.batch()
    earlier = batch.features.clone().requires_grad_()
    _call(module, batch._replace(features=earlier))
    _end_epoch(module)
    assert not any(buffer.requires_grad for buffer in module.buffers())
    _call(module, batch._replace(features=batch.features.requires_grad_())).sum().backward()  # type: ignore[no-untyped-call]
    assert earlier.grad is None


def backward_twice_gives_the_same(case: SmootherCase) -> None:
    """With ``retain_graph``, a second backward pass gives the same gradient."""
    batch = case.batch()
    features = batch.features.requires_grad_()
    loss = _call(case.trained(), batch._replace(features=features)).square().sum()
    (first,) = torch.autograd.grad(loss, features, retain_graph=True)
    (second,) = torch.autograd.grad(loss, features)
    assert torch.equal(first, second)


def survives_pickle_copy_and_state_dict(case: SmootherCase) -> None:
    """In the middle of an epoch, a copy in any form goes on as the original does."""
    module = case.trained()
    _call(module, case.batch(4))
    fresh = case.build()
    fresh.load_state_dict(copy.deepcopy(module.state_dict()))
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), fresh):  # noqa: S301
        original = copy.deepcopy(module)
        for each in (twin, original):
            _call(each, case.batch(5))
            _end_epoch(each)
        assert torch.equal(_call(twin, case.batch()), _call(original, case.batch()))
        assert _equal_states(twin, original)


def compiles_to_the_same_value(case: SmootherCase) -> None:
    """`torch.compile` makes one graph of it and changes nothing."""
    batch = case.batch().to(torch.float32)
    module, compiled = case.trained(dtype=torch.float32), case.trained(dtype=torch.float32)
    expected, expected_grad = _gradient(module, batch)
    torch.compiler.reset()
    smoothed, grad = _gradient(torch.compile(compiled, backend="aot_eager", fullgraph=True), batch)
    torch.testing.assert_close(smoothed, expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad, expected_grad, **TOLERANCE[torch.float32])
    torch.testing.assert_close(compiled.state_dict(), module.state_dict(), **TOLERANCE[torch.float32])


def wrong_shapes_and_dtypes_are_refused(case: SmootherCase) -> None:
    """Features or labels of another size, rank, kind or device raise an error that names them, in evaluation too."""
    batch = case.batch()
    wrong: dict[str, tuple[Any, ...]] = {
        "features": (batch.features[:, 0], batch.features[:, 1:], batch.features.long(), batch.features.tolist()),
        "labels": (batch.labels[1:], batch.labels.unsqueeze(2), batch.labels.bool(), batch.labels.tolist()),
    }
    for name, values in wrong.items():
        for value in values:
            for module in (case.trained(), case.trained().eval()):
                with pytest.raises((TypeError, ValueError), match=name):
                    _call(module, batch._replace(**{name: value}))
    elsewhere = batch._replace(features=batch.features.to("meta"), labels=batch.labels.to("meta"))
    with pytest.raises(ValueError, match="features: expected device cpu"):
        _call(case.trained(), elsewhere)


SMOOTHER_CHECKS: dict[str, Callable[[SmootherCase], None]] = named_checks(
    (
        equals_its_oracle,
        evaluation_changes_nothing,
        changes_nothing_before_it_knows,
        has_something_to_do,
        gradient_equals_finite_differences,
        batches_of_an_epoch_count_as_one,
        order_of_samples_does_not_matter,
        flat_labels_are_one_dimension,
        bins_may_come_later,
        fitting_again_starts_anew,
        a_diverged_batch_is_passed_on_and_forgotten,
        autocast_does_not_lower_the_precision,
        inputs_are_not_changed,
        statistics_are_constants,
        backward_twice_gives_the_same,
        survives_pickle_copy_and_state_dict,
        compiles_to_the_same_value,
        wrong_shapes_and_dtypes_are_refused,
    ),
    stays_finite=stays_finite,
    degenerate=DEGENERATE_FEATURES,
    computed_in_float32=lower_precision_is_computed_in_float32,
    dtypes=(torch.float16, torch.bfloat16),
)


def _checks_of(case: SmootherCase) -> dict[str, Callable[[SmootherCase], None]]:
    without = set()
    if case.oracle is None:
        without.add("equals_its_oracle")
    if 1 not in case.label_dimensions:
        without.add("flat_labels_are_one_dimension")
    return {name: check for name, check in SMOOTHER_CHECKS.items() if name not in without}


def smoother_contract(cases: Mapping[str, SmootherCase]) -> pytest.MarkDecorator:
    """Decorator that tests smoothers, by name, against every check of ``SMOOTHER_CHECKS``; see `contract`."""
    return contract(_checks_of, cases)
