import pytest
import torch
from tests.tolerances import TOLERANCE
from torch import Tensor
from torch.nn.functional import normalize

from conr import conr_loss
from conr.losses import rank_n_contrast_loss
from conr.pairwise import cosine_similarities, euclidean_distances, unit_vectors
from conr.pairwise.similarities import both_ways, products

EXACT = TOLERANCE[torch.float64]


def features(n: int, d: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(n + d))


@pytest.mark.parametrize("m", [None, 0, 7])
@pytest.mark.parametrize("d", [3, 256])
def test_products_by_bands_are_the_products(d: int, m: int | None) -> None:
    for n in (0, 1, 130):
        rows, others = features(n, d), None if m is None else features(m, d)
        columns = rows if others is None else torch.cat((rows, others))
        torch.testing.assert_close(products(rows, others, scale=0.5), 0.5 * rows @ columns.T, **EXACT)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (5, 256), (130, 3)])
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


def test_rows_get_length_one_and_the_gradient_of_it() -> None:
    rows = features(5, 3).requires_grad_()
    torch.testing.assert_close(unit_vectors(rows).norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.autograd.gradcheck(unit_vectors, rows)
    assert unit_vectors(torch.tensor([[-7.0]])).item() == -1


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


@pytest.mark.parametrize("scale", [1e-43, 1e-37, 1e-16, 1e18, 1e38])
def test_length_does_not_matter(scale: float) -> None:
    """Squares of most of these lengths are 0 or infinite in float32."""
    rows = (scale * torch.tensor([[3.0, -2.0], [0.0, 2.0], [0.0, 0.0]])).requires_grad_()
    exact = rows.detach().double().requires_grad_()
    found, expected = unit_vectors(rows), unit_vectors(exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
    for unit in (found, expected):
        (unit * unit.new_tensor([[1, 2], [1, 2], [1, 2]])).sum().backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    assert exact.grad is not None
    assert not rows.grad[2].any()
    assert not rows.grad.isnan().any()
    if scale > 1e-40:  # else the gradient itself is larger than float32 can hold
        torch.testing.assert_close(rows.grad.double() * scale, exact.grad * scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e20, 1e30])
def test_distances_of_features_of_any_length_are_right(scale: float) -> None:
    rows = (scale * features(9, 4)).float().requires_grad_()
    exact = rows.detach().double().requires_grad_()
    losses = [rank_n_contrast_loss(one, torch.arange(9) % 4, temperature=2 * scale) for one in (rows, exact)]
    found, expected = (torch.autograd.grad(loss, one)[0] for loss, one in zip(losses, (rows, exact), strict=True))
    torch.testing.assert_close(losses[0].double(), losses[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.double() * scale, expected * scale, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["dense", "blockwise", "windowed"])
@pytest.mark.parametrize(("scale", "d"), [(1e-30, 4), (1e18, 200), (1e20, 4)])
def test_length_of_features_does_not_change_the_loss(engine: str, scale: float, d: int) -> None:
    rows, labels = features(50, d).float(), torch.arange(50) % 7
    expected = conr_loss(rows, labels, labels % 3, window=1.0, engine=engine)
    rows[::2] *= scale
    torch.testing.assert_close(conr_loss(rows, labels, labels % 3, window=1.0, engine=engine), expected)
