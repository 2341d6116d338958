import pytest
import torch
from torch import Tensor

from conr.pairwise import matmul as module
from conr.pairwise.matmul import FEWEST, matmul, matmul_into


def matrix(rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, columns, dtype=dtype, generator=torch.Generator().manual_seed(rows + columns))


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_large_products(monkeypatch: pytest.MonkeyPatch, *, onednn: bool, transposed: bool) -> None:
    if not onednn:
        monkeypatch.setattr(module, "_has_onednn", lambda: False)
    first = matrix(300, 256).T if transposed else matrix(256, 300)
    second = matrix(256, 300).T if transposed else matrix(300, 256)
    assert FEWEST <= 256 * 300 * 256
    exact = first.double() @ second.double()
    torch.testing.assert_close(matmul(first, second).double(), exact, rtol=1e-4, atol=1e-4)
    whole = torch.full((256, 400), 7.0)
    matmul_into(whole[:, 100:356], first, second, scale=-0.5)
    torch.testing.assert_close(whole[:, 100:356].double(), -0.5 * exact, rtol=1e-4, atol=1e-4)
    assert (whole[:, :100] == 7).all()
    assert (whole[:, 356:] == 7).all()


@pytest.mark.parametrize(("size", "dtype"), [(16, torch.float32), (256, torch.float64), (16, torch.float64)])
def test_small_and_double_products_are_those_of_torch(size: int, dtype: torch.dtype) -> None:
    first, second = matrix(size, 300, dtype), matrix(300, size, dtype)
    assert torch.equal(matmul(first, second), first @ second)


def test_a_nan_stays_in_its_row() -> None:
    first, second = matrix(256, 300), matrix(300, 256)
    first[3, 5] = torch.nan
    found = matmul(first, second).isnan()
    assert found[3].all()
    assert found.sum() == 256


def test_empty_products() -> None:
    assert matmul(matrix(0, 5), matrix(5, 3)).shape == (0, 3)
    assert (matmul(matrix(2, 0), matrix(0, 3)) == 0).all()


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError, None])
def test_an_operation_that_is_not_what_is_expected_is_left_alone(
    error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(first: Tensor, second: Tensor) -> Tensor:
        if error is not None:
            raise error
        return first @ second + 1

    monkeypatch.setattr(module, "_onednn", other)
    module._has_onednn.cache_clear()
    first, second = matrix(256, 300), matrix(300, 256)
    assert torch.equal(matmul(first, second), first @ second)
    module._has_onednn.cache_clear()
