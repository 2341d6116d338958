import torch

from conr.pairwise.unit import unit_vectors


def test_rows_get_length_one_and_the_gradient_of_it() -> None:
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(unit_vectors(features).norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.autograd.gradcheck(unit_vectors, features)


def test_a_row_of_zeros_stays_and_gets_no_gradient() -> None:
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = unit_vectors(features)
    assert unit.tolist() == [[0.0, 0.0], [0.6000000238418579, 0.800000011920929]]
    unit.sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert not features.grad[0].any()
    assert features.grad[1].any()
