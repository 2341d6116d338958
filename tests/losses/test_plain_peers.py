"""The plain forms of the benchmarks compute the same losses and gradients as the library."""

import pytest
import torch
from benchmarks.peers import forms


@pytest.mark.parametrize("loss", ["RankSim", "Rank-N-Contrast"])
def test_plain_form_has_the_value_and_the_gradient_of_ours(loss: str) -> None:
    found = {}
    for name, form in forms(48, 16)[loss].items():
        features = form.args[0].detach().double().requires_grad_()
        value = form.func(features, *form.args[1:], **form.keywords)
        value.backward()  # type: ignore[no-untyped-call]
        found[name] = (value.detach(), features.grad)
    torch.testing.assert_close(found["plain"], found["ours"], rtol=1e-9, atol=1e-12, check_dtype=False)
