import pytest
import torch

from conr.pairwise.push import log_push


def test_names_and_functions() -> None:
    scaled = torch.tensor([[0.5, 2.0]])
    assert torch.equal(log_push(scaled, "exp"), scaled)
    assert torch.equal(log_push(scaled, "linear"), scaled.log())
    torch.testing.assert_close(log_push(scaled, lambda u: 1 + u), (1 + scaled).log())


def test_a_function_must_keep_the_shape() -> None:
    with pytest.raises(ValueError, match=r"push: expected shape \(1, 2\) from the given function, got \(2,\)"):
        log_push(torch.ones(1, 2), lambda scaled: scaled[0])
