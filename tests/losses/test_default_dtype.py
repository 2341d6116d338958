"""Losses and smoothers compute in the dtype of their inputs, whatever torch's default is."""

import pytest
import torch
from tests.contracts.criteria import CRITERIA
from tests.contracts.registry import REGULARIZERS
from tests.contracts.smoothers import SMOOTHERS

from conr import conr_statistics
from conr.testing.contract import Case, end_epoch

# The layer of VIR is made in the default dtype, as any layer is.
CASES: dict[str, Case] = {**REGULARIZERS, **CRITERIA, **{name: SMOOTHERS[name] for name in SMOOTHERS if name != "vir"}}


def outputs(case: Case) -> list[torch.Tensor]:
    """Of two epochs, and the state after them."""
    torch.manual_seed(0)
    module, batch = case.module(dtype=torch.float32), case.batch().to(torch.float32)
    found = [case.call(module, batch)]
    end_epoch(module)
    return [*found, case.call(module, batch), *module.state_dict().values()]


@pytest.mark.parametrize("name", CASES)
def test_the_default_dtype_changes_nothing(name: str) -> None:
    expected = outputs(CASES[name])
    for dtype in (torch.float16, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            found = outputs(CASES[name])
        finally:
            torch.set_default_dtype(torch.float32)
        for one, right in zip(found, expected, strict=True):
            torch.testing.assert_close(one, right, rtol=1e-6, atol=1e-6)


def test_statistics_do_not_depend_on_the_default_dtype() -> None:
    labels = torch.arange(3000.0)
    torch.set_default_dtype(torch.float16)  # which counts to 2048
    try:
        found = conr_statistics(labels, torch.zeros(3000), window=1.0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.colliding.dtype == torch.float32
    assert found.colliding.item() == 3000 * 2999 - 2 * 2999
