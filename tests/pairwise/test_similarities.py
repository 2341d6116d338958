import pytest
import torch
from tests.tolerances import TOLERANCE
from torch import Tensor
from torch.nn.functional import normalize

from conr.pairwise import bin_numbers, cosine_similarities, equal_labels, euclidean_distances
from conr.pairwise.similarities import both_ways, products

EXACT = TOLERANCE[torch.float64]


def features(n: int, d: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(n + d))


@pytest.mark.parametrize("n", [0, 1, 5, 130])
@pytest.mark.parametrize("d", [3, 256])
@pytest.mark.parametrize("m", [None, 0, 7])
def test_products_by_bands_are_the_products(n: int, d: int, m: int | None) -> None:
    rows, others = features(n, d), None if m is None else features(m, d)
    columns = rows if others is None else torch.cat((rows, others))
    torch.testing.assert_close(products(rows, others, scale=0.5), 0.5 * rows @ columns.T, **EXACT)


@pytest.mark.parametrize("n", [1, 5, 130])
@pytest.mark.parametrize("d", [3, 256])
def test_gradients_are_those_of_autograd(n: int, d: int) -> None:
    upstream = features(n, n)
    ours, plain = features(n, d).requires_grad_(), features(n, d).requires_grad_()
    unit = normalize(plain, dim=1)
    (cosine_similarities(ours) * upstream).sum().backward()  # type: ignore[no-untyped-call]
    (unit @ unit.T * upstream).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad, **EXACT)


def test_equal_and_zero_features_get_no_gradient() -> None:
    rows = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    cosines = cosine_similarities(rows)
    assert cosines.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    (gradient,) = torch.autograd.grad(cosines[2].sum() + euclidean_distances(rows)[0, 1], rows)
    assert gradient.tolist() == [[0, 0], [0, 0], [0, 0]]


def test_precision_survives_autocast() -> None:
    rows = features(20, 8).float()
    exact = cosine_similarities(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(cosine_similarities(rows), exact)


def test_both_ways_does_not_change_its_argument() -> None:
    for n in (1, 4):
        grad = features(n, n)
        kept = grad.clone()
        torch.testing.assert_close(both_ways(grad), grad + grad.T, **EXACT)
        assert torch.equal(grad, kept)


def test_bins_are_centred_at_multiples_of_the_width() -> None:
    labels = torch.tensor([[0.3, 0.349], [0.36, -0.04], [0.2501, 1.0]])
    assert bin_numbers(labels, 0.1).tolist() == [[3, 3], [4, 0], [3, 10]]
    assert equal_labels(torch.tensor([[1, 2], [1, 3], [1, 2]])).int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
