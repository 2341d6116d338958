"""The contract of everything that gets a gradient, whatever its equation: checks that all kinds of cases share."""

import copy
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from conr._checks import check_choice
from conr.testing.batches import TOLERANCE, Batch, Degenerate

Check = Callable[..., None]
"""Called with a case; raises if the case breaks it."""


@dataclass(frozen=True)
class Case(ABC):
    """A configured module and what is true of it.

    Args:
        make: called with the settings; returns the module.
        settings: keyword arguments of ``make``.
        oracle: a plain loop over the equation, called with the module's inputs as nested lists of float, and with
            settings by keyword. It is not checked if None.
        oracle_settings: keyword arguments of ``oracle``, from the module (what it has learned) and the batch;
            ``settings`` if None. Random numbers are drawn after ``torch.manual_seed(0)``.
        label_dimensions: k of the labels (n, k) that it can take.
        zero_on: names of ``degenerate`` batches in which it has nothing to do: output and gradient are exactly 0.
        stress: settings under which it must stay finite too, such as a small temperature.
        refused: values of settings that ``make`` must refuse with an error that names the setting.
        fullgraph: whether `torch.compile` makes one graph of it; else it may fall back to Python where values decide.
        exempt: names of checks that do not hold for a reason of mathematics, each with that reason. The check must then
            fail; what holds instead needs a test of its own.
    """

    make: Callable[..., nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    oracle: Callable[..., Any] | None = None
    oracle_settings: Callable[[nn.Module, Batch], Mapping[str, Any]] | None = None
    label_dimensions: tuple[int, ...] = (1, 2, 3)
    zero_on: tuple[str, ...] = ("no samples",)
    stress: tuple[Mapping[str, Any], ...] = ()
    refused: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    fullgraph: bool = True
    exempt: Mapping[str, str] = field(default_factory=dict)

    leaf: ClassVar[str]
    """The input that gets a gradient."""
    degenerate: ClassVar[Degenerate]
    """Batches in which something that an equation needs is missing; made of the 16 samples of `batch`."""
    least: ClassVar[int] = 9
    """Samples of `batch` that must get a gradient."""
    exact: ClassVar[torch.dtype] = torch.float64
    """The precision that lower ones are compared with."""

    @abstractmethod
    def module(self, k: int | None = None, *, dtype: torch.dtype = torch.float64, **changes: Any) -> nn.Module:
        """The module, ready to be called with k label dimensions; by default those of `batch`."""

    @abstractmethod
    def batch(self, seed: int = 3, n: int = 16, k: int | None = None) -> Batch:
        """A batch that it can take: several label dimensions if possible."""

    @abstractmethod
    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Arguments of the module."""

    @abstractmethod
    def wrong(self, batch: Batch) -> Mapping[str, tuple[Any, ...]]:
        """Values of inputs of the wrong shape, length, kind or device, by the name of the input."""

    def terms(self, k: int | None = None) -> nn.Module:
        """The module with its output before any reduction."""
        return self.module(k)

    def any_batch(self, seed: int, n: int, k: int) -> Batch:
        """A random batch for the comparison with the oracle."""
        return self.batch(seed, n, k)

    def call(self, module: Callable[..., Tensor], batch: Batch) -> Tensor:
        """Output of the module, with the same random numbers in each call."""
        torch.manual_seed(0)
        return module(*self.inputs(batch))

    def scalar(self, output: Tensor) -> Tensor:
        """A number whose gradient is checked."""
        return output.sum()

    def effect(self, output: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002  for cases that return what they get
        """The part of the output that is not 0 if there is something to do."""
        return output

    def output_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Of the output, for inputs of a dtype."""
        return torch.promote_types(dtype, torch.float32)

    def checks(self) -> Mapping[str, Check]:
        """All checks that there is something for, by name."""
        without = set()
        if self.oracle is None:
            without.add("equals_its_oracle")
        if 1 not in self.label_dimensions:
            without.add("flat_labels_are_one_dimension")
        return {name: check for name, check in checks_of(type(self)).items() if name not in without}

    @property
    def dimensions(self) -> int:
        """Label dimensions of `batch`."""
        return min(2, self.label_dimensions[-1])

    @classmethod
    def own_checks(cls) -> tuple[Check, ...]:
        """Checks of this kind of cases; one with the name of a shared check replaces it."""
        return ()


def gradient(case: Case, module: Callable[..., Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
    """Output of a module, and the gradient of the case's input."""
    leaf = getattr(batch, case.leaf).detach().clone().requires_grad_()
    output = case.call(module, batch._replace(**{case.leaf: leaf}))
    assert output.requires_grad, "expected an output with a graph, also where it is 0"
    case.scalar(output).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return output.detach(), leaf.grad


def end_epoch(module: Any) -> None:
    """End an epoch of a module that learns from epochs."""
    if hasattr(module, "on_train_epoch_end"):
        module.on_train_epoch_end()


def equal_states(one: nn.Module, other: nn.Module) -> bool:
    """Compare the state_dicts of two modules."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def equals_its_oracle(case: Case) -> None:
    """On random batches of all label dimensions, the output is the oracle's."""
    oracle = case.oracle
    assert oracle is not None
    modules = {k: case.terms(k) for k in case.label_dimensions}

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**31), n=st.integers(1, 24), k=st.sampled_from(case.label_dimensions))
    def equal(seed: int, n: int, k: int) -> None:
        batch = case.any_batch(seed, n, k)
        found = case.settings if case.oracle_settings is None else case.oracle_settings(modules[k], batch)
        expected = oracle(*(one.tolist() for one in case.inputs(batch)), **found)
        wanted = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(case.call(modules[k], batch), wanted, **TOLERANCE[torch.float64])

    equal()


def has_something_to_do(case: Case) -> None:
    """The batches of the other checks are no trivial ones: most samples get a gradient, and all parameters do."""
    module, batch = case.terms(), case.batch()
    output, grad = gradient(case, module, batch)
    effect = case.effect(output, batch)
    assert effect.reshape(effect.shape[0] if effect.ndim else 1, -1).any(dim=1).sum() >= min(case.least, effect.numel())
    assert grad.flatten(1).any(dim=1).sum() >= case.least
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == parameter.requires_grad, name


def gradient_equals_finite_differences(case: Case) -> None:
    """`torch.autograd.gradcheck` in float64; what has been learned is constant."""
    module = case.terms().requires_grad_(requires_grad=False)
    for seed in (3, 4):
        batch = case.batch(seed, n=8)

        def output(leaf: Tensor, batch: Batch = batch) -> Tensor:
            return case.call(module, batch._replace(**{case.leaf: leaf}))

        assert torch.autograd.gradcheck(output, getattr(batch, case.leaf).requires_grad_(), fast_mode=True)


def order_of_samples_does_not_matter(case: Case) -> None:
    """Shuffling a batch shuffles outputs and gradient."""
    batch = case.batch()
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
    output, grad = gradient(case, case.terms(), batch)
    shuffled, shuffled_grad = gradient(case, case.terms(), batch.rows(order))
    torch.testing.assert_close(shuffled, output[order] if output.ndim else output, **TOLERANCE[torch.float64])
    torch.testing.assert_close(shuffled_grad, grad[order], **TOLERANCE[torch.float64])


def flat_labels_are_one_dimension(case: Case) -> None:
    """Labels (n,) mean the same as (n, 1)."""
    batch = case.batch(k=1)
    flat = batch._replace(labels=batch.labels.squeeze(1), predictions=batch.predictions.squeeze(1))
    assert torch.equal(case.call(case.module(1), flat), case.call(case.module(1), batch))


def integer_labels_are_numbers(case: Case) -> None:
    """Labels of an integer type give what the same floating-point labels give."""
    batch = case.batch()
    whole = batch._replace(labels=batch.labels.round())
    expected = case.call(case.module(), whole)
    found = case.call(case.module(), whole._replace(labels=whole.labels.long()))
    torch.testing.assert_close(found, expected, **TOLERANCE[torch.float32])


def stays_finite(case: Case, name: str) -> None:
    """Output and gradient of a degenerate batch are finite, 0 where the case says so, and have a graph."""
    for dtype in (torch.float32, torch.float64):
        batch = case.degenerate[name](case.batch()).to(dtype)
        for changes in ({}, *case.stress):
            for found in gradient(case, case.module(dtype=dtype, **changes), batch):
                told = f"output or gradient {found} in {dtype} with {changes}"
                assert torch.isfinite(found).all(), told
                assert name not in case.zero_on or not found.any(), told


def lower_precision_is_computed_in_float32(case: Case, dtype: torch.dtype) -> None:
    """Inputs of a lower precision give what they do in float32, and their gradient is rounded only."""
    batch = case.batch()
    leaf = getattr(batch, case.leaf).to(dtype)
    exact = batch.to(case.exact)._replace(**{case.leaf: leaf.to(case.exact)})
    expected, expected_grad = gradient(case, case.module(dtype=case.exact), exact)
    batch = batch.to(torch.float32)
    output, grad = gradient(case, case.module(dtype=torch.float32), batch._replace(**{case.leaf: leaf}))
    assert output.dtype == case.output_dtype(dtype)
    assert grad.dtype == dtype
    torch.testing.assert_close(output.to(case.exact), expected, **TOLERANCE[output.dtype])
    scale = expected_grad.abs().max()  # an element of the gradient has the rounding of the largest summand
    torch.testing.assert_close(grad.to(case.exact) / scale, expected_grad / scale, **TOLERANCE[dtype])
    for changes in case.stress:
        for found in gradient(case, case.module(dtype=torch.float32, **changes), batch.to(dtype)):
            assert torch.isfinite(found).all(), f"output or gradient {found} with {changes}"


def autocast_does_not_lower_the_precision(case: Case) -> None:
    """Under autocast to bfloat16, output, gradient and state are bit for bit those of float32."""
    batch = case.batch().to(torch.float32)
    module, twin = case.module(dtype=torch.float32), case.module(dtype=torch.float32)
    expected, expected_grad = gradient(case, twin, batch)
    end_epoch(twin)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, grad = gradient(case, module, batch)
        end_epoch(module)
    assert torch.equal(output, expected)
    assert torch.equal(grad, expected_grad)
    assert equal_states(module, twin)


def inputs_are_not_changed(case: Case) -> None:
    """Forward and backward leave all inputs as they were."""
    batch = case.batch()
    before = copy.deepcopy(batch)
    getattr(batch, case.leaf).requires_grad_()
    case.scalar(case.call(case.module(), batch)).backward()  # type: ignore[no-untyped-call]
    for tensor, original in zip(batch, before, strict=True):
        assert torch.equal(tensor, original)


def backward_twice_gives_the_same(case: Case) -> None:
    """With ``retain_graph``, a second backward pass gives the same gradient."""
    batch = case.batch()
    leaf = getattr(batch, case.leaf).requires_grad_()
    total = case.scalar(case.call(case.module(), batch))
    (first,) = torch.autograd.grad(total, leaf, retain_graph=True)
    (second,) = torch.autograd.grad(total, leaf)
    assert torch.equal(first, second)


def survives_pickle_copy_and_state_dict(case: Case) -> None:
    """In the middle of an epoch, a pickled, copied or moved module, or a new one with its state, goes on as it does."""
    torch.manual_seed(1)
    module = case.module()
    case.call(module, case.batch(4))
    torch.manual_seed(2)  # what is drawn at random belongs to the state
    fresh = case.module()
    fresh.load_state_dict(copy.deepcopy(module.state_dict()))
    twins = (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), copy.deepcopy(module).to("cpu"), fresh)  # noqa: S301
    for twin in twins:
        original = copy.deepcopy(module)
        for each in (twin, original):
            case.call(each, case.batch(5))
            end_epoch(each)
        assert torch.equal(case.call(twin, case.batch()), case.call(original, case.batch()))
        assert equal_states(twin, original)


def compiles_to_the_same_value(case: Case) -> None:
    """`torch.compile` changes nothing, and makes one graph of it if ``fullgraph``."""
    batch = case.batch().to(torch.float32)
    module, twin = case.module(dtype=torch.float32), case.module(dtype=torch.float32)
    expected, expected_grad = gradient(case, twin, batch)
    torch.compiler.reset()
    output, grad = gradient(case, torch.compile(module, backend="aot_eager", fullgraph=case.fullgraph), batch)
    torch.testing.assert_close(output, expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad, expected_grad, **TOLERANCE[torch.float32])
    torch.testing.assert_close(module.state_dict(), twin.state_dict(), **TOLERANCE[torch.float32])


def wrong_inputs_are_refused(case: Case) -> None:
    """Inputs of another shape, length, kind or device raise an error that names them, in evaluation too."""
    batch = case.batch()
    for module in (case.module(), case.module().eval()):
        for name, values in case.wrong(batch).items():
            for value in values:
                with pytest.raises((TypeError, ValueError), match=name):
                    case.call(module, batch._replace(**{name: value}))


def wrong_settings_are_refused(case: Case) -> None:
    """The constructor checks its arguments, and the error names the one that is wrong."""
    for name, values in case.refused.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=name):
                case.module(**{name: value})


def text_shows_the_settings(case: Case) -> None:
    """The text of a module has the values of its settings."""
    text = repr(case.module())
    for name, value in case.settings.items():
        assert str(value) in text, f"{name} in {text}"


SHARED_CHECKS: tuple[Check, ...] = (
    equals_its_oracle,
    has_something_to_do,
    gradient_equals_finite_differences,
    order_of_samples_does_not_matter,
    flat_labels_are_one_dimension,
    integer_labels_are_numbers,
    autocast_does_not_lower_the_precision,
    inputs_are_not_changed,
    backward_twice_gives_the_same,
    survives_pickle_copy_and_state_dict,
    compiles_to_the_same_value,
    wrong_inputs_are_refused,
    wrong_settings_are_refused,
    text_shows_the_settings,
)


def checks_of(kind: type[Case]) -> dict[str, Check]:
    """All checks of a kind of cases by name: its own, the shared ones, one per degenerate batch and per precision."""
    plain = {check.__name__: check for check in (*SHARED_CHECKS, *kind.own_checks())}
    finite = plain.pop("stays_finite", stays_finite)
    named = {f"stays_finite_with_{name.replace(' ', '_')}": partial(finite, name=name) for name in kind.degenerate}
    lower = {
        f"{name}_is_computed_in_float32": partial(lower_precision_is_computed_in_float32, dtype=getattr(torch, name))
        for name in ("float32", "float16", "bfloat16")
        if getattr(torch, name) != kind.exact
    }
    return plain | named | lower


EXEMPTED = (AssertionError, GradcheckError, ValueError)
"""Errors of a check that a case is exempt from; a ValueError refuses a batch that is none for the case."""


def contract(cases: Mapping[str, Case], *, only: Collection[str] | None = None) -> pytest.MarkDecorator:
    """Decorator that runs a test once per case and check; the test's argument ``check`` is to be called.

    A check that a case is exempt from is expected to fail: an exemption that is not needed is an error, too.

    Args:
        cases: by name.
        only: names of the checks to run, such as ``("equals_its_oracle",)`` for one more setting of a method that
            passes all of them; all if None.

    Raises:
        ValueError: an unknown name; a case is exempt from a check that does not exist, or gives no reason.
    """
    parameters = []
    for case_name, case in cases.items():
        checks = case.checks()
        for name, reason in case.exempt.items():
            check_choice(f"{case_name}: exempt", name, checks)
            if not reason.strip():
                raise ValueError(f"{case_name}: exempt: expected the reason why {name!r} does not hold, got none")
        for name in only or ():
            check_choice("only", name, checks)
        for name, check in checks.items():
            if only is not None and name not in only:
                continue
            why = case.exempt.get(name)
            marks = [pytest.mark.xfail(reason=why, strict=True, raises=EXEMPTED)] if why else []
            parameters.append(pytest.param(partial(check, case), id=f"{case_name}-{name}", marks=marks))
    return pytest.mark.parametrize("check", parameters)
