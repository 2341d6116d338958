"""What all contracts share: tolerances, random batches, and the decorator that makes tests out of checks and cases."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple, Protocol, TypedDict, TypeVar

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from conr._checks import check_choice


class Tolerance(TypedDict):
    """Arguments of `torch.testing.assert_close`."""

    rtol: float
    atol: float


# float16 and bfloat16 inputs are computed in float32: what remains is the rounding of the inputs themselves.
TOLERANCE: dict[torch.dtype, Tolerance] = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 2e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2e-2, "atol": 2e-2},
    torch.bfloat16: {"rtol": 1e-1, "atol": 1e-1},
}


class Batch(NamedTuple):
    """Inputs of a loss; a batch is passed as ``regularizer(*batch)``."""

    features: Tensor  # (n, d)
    labels: Tensor  # (n, k)
    predictions: Tensor  # (n, k)
    weights: Tensor  # (n,)

    def to(self, dtype: torch.dtype) -> "Batch":
        """The batch in another dtype."""
        return Batch(*(tensor.to(dtype) for tensor in self))

    def rows(self, index: slice | Tensor) -> "Batch":
        """Some of the samples, or all of them in another order."""
        return Batch(*(tensor[index] for tensor in self))


def make_batch(seed: int, n: int = 16, d: int = 5, k: int = 1, *, grid: float = 1.0) -> Batch:
    """A random batch in float64, with labels and predictions on a grid, so that ties are common.

    Args:
        seed: of all numbers in it.
        n: samples.
        d: size of a feature vector.
        k: label dimensions.
        grid: step of the grid; distances hit a window that is a multiple of it exactly.
    """
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    labels = grid * torch.randint(0, 6, (n, k), generator=generator).double()
    predictions = labels + grid * torch.randint(-3, 4, (n, k), generator=generator).double()
    weights = 0.2 + 2 * torch.rand(n, generator=generator, dtype=torch.float64)
    return Batch(features, labels, predictions, weights)


def batches(
    dimensions: tuple[int, ...], feature_sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
) -> st.SearchStrategy[Batch]:
    """Hypothesis' batches of 1 to 24 samples with one of the given label dimensions and feature sizes."""
    return st.builds(
        make_batch,
        seed=st.integers(0, 2**31),
        n=st.integers(1, 24),
        d=st.sampled_from(feature_sizes),
        k=st.sampled_from(dimensions),
        grid=st.sampled_from((1.0, 0.25)),
    )


class Case(Protocol):
    """What `contract` needs to know of a case."""

    @property
    def exempt(self) -> Mapping[str, str]:
        """Names of checks that do not hold for a reason of mathematics, each with that reason."""
        ...


CaseT = TypeVar("CaseT", bound=Case)
"""One kind of case."""


def named_checks(
    checks: Iterable[Callable[[CaseT], None]],
    *,
    stays_finite: Callable[..., None],
    degenerate: Iterable[str],
    computed_in_float32: Callable[..., None],
    dtypes: Iterable[torch.dtype],
) -> dict[str, Callable[[CaseT], None]]:
    """Checks by name: plain ones, one per degenerate batch, one per precision.

    Args:
        checks: plain ones, called by the names of their functions.
        stays_finite: takes a case and the ``name`` of a degenerate batch.
        degenerate: names of these batches.
        computed_in_float32: takes a case and a ``dtype``.
        dtypes: precisions.
    """
    named = {check.__name__: check for check in checks}
    named |= {f"stays_finite_with_{name.replace(' ', '_')}": partial(stays_finite, name=name) for name in degenerate}
    return named | {
        f"{str(dtype).removeprefix('torch.')}_is_computed_in_float32": partial(computed_in_float32, dtype=dtype)
        for dtype in dtypes
    }


EXEMPTED = (AssertionError, GradcheckError, ValueError)
"""How a check may fail that a case is exempt from; a ValueError refuses a batch that is none for the case."""


def contract(
    checks_of: Callable[[CaseT], Mapping[str, Callable[[CaseT], None]]], cases: Mapping[str, CaseT]
) -> pytest.MarkDecorator:
    """Decorator that runs a test once per case and check; the test's argument ``check`` is to be called.

    A check that a case is exempt from is expected to fail: an exemption that is not needed is an error, too.

    Args:
        checks_of: the checks of a case, by name; each takes the case and raises if the case breaks it.
        cases: by name.

    Raises:
        ValueError: a case is exempt from a check that does not exist, or gives no reason.
    """
    parameters = []
    for case_name, case in cases.items():
        checks = checks_of(case)
        for name, reason in case.exempt.items():
            check_choice(f"{case_name}: exempt", name, checks)
            if not reason.strip():
                raise ValueError(f"{case_name}: exempt: expected the reason why {name!r} does not hold, got none")
        for name, check in checks.items():
            marks = (
                [pytest.mark.xfail(reason=case.exempt[name], strict=True, raises=EXEMPTED)]
                if name in case.exempt
                else []
            )
            parameters.append(pytest.param(partial(check, case), id=f"{case_name}-{name}", marks=marks))
    return pytest.mark.parametrize("check", parameters)
