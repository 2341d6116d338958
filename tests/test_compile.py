from functools import partial

import torch

from conr import conr_loss
from conr._torch import outside_graphs


def test_a_function_outside_of_graphs_runs_as_it_is() -> None:
    seen = []

    @outside_graphs
    def double(value: torch.Tensor) -> torch.Tensor:
        seen.append(type(value))
        return 2 * value

    assert double(torch.ones(1)).item() == 2
    torch.compiler.reset()
    compiled = torch.compile(lambda value: double(value + 1) + 1, backend="eager")
    assert compiled(torch.ones(1)).item() == 5
    assert seen == [torch.Tensor, torch.Tensor]  # no stand-in of a tracer


def test_a_compiled_loss_is_the_loss() -> None:
    """One graph for all sizes, down to a batch of one, where there is no pair."""
    torch.compiler.reset()
    loss = partial(conr_loss, window=1.0, temperature=0.1)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    generator = torch.Generator().manual_seed(1)
    for n in (16, 24, 1):
        features = torch.randn(n, 5, generator=generator).requires_grad_()
        labels = torch.randint(0, 5, (n, 1), generator=generator) / 10
        batch = features, labels, torch.zeros_like(labels)
        found, expected = compiled(*batch), loss(*batch)
        torch.testing.assert_close(found, expected)
        gradients = (torch.autograd.grad(one, features)[0] for one in (found, expected))
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_a_compiled_loss_decides_the_windows_edge_as_eager_does() -> None:
    """With the code that is generated, whose rounding may be another."""
    torch.compiler.reset()
    steps = torch.arange(-3, 4) / 10
    angles = torch.cartesian_prod(steps, steps)
    features = torch.randn(49, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = partial(conr_loss, window=0.1, temperature=0.1, distance="angular", reduction="none")
    batch = features, angles, torch.zeros_like(angles)
    found, expected = torch.compile(loss, fullgraph=True)(*batch), loss(*batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    gradients = (torch.autograd.grad(one.sum(), features)[0] for one in (found, expected))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_a_compiled_loss_takes_settings_that_only_float64_holds() -> None:
    torch.compiler.reset()
    generator = torch.Generator().manual_seed(0)
    features, labels, predictions = (torch.rand(20, size, generator=generator) for size in (5, 2, 2))
    loss = partial(conr_loss, window=4e-43, temperature=0.1, distance_scale=1e42)
    batch = features, (1e-42 * labels.double()).float(), (1e-42 * predictions.double()).float()
    expected = loss(*batch)
    assert 0 < expected < torch.inf
    torch.testing.assert_close(torch.compile(loss, backend="aot_eager", fullgraph=True)(*batch), expected)
