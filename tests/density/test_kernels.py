import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal.windows import triang

from conr.density import lds_kernel


@pytest.mark.parametrize("size", [1, 3, 5, 9, 15])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0, 7.3])
def test_gaussian_is_a_filtered_impulse(size: int, sigma: float) -> None:
    impulse = np.zeros(size)
    impulse[size // 2] = 1
    expected = gaussian_filter1d(impulse, sigma=sigma)
    assert lds_kernel("gaussian", size=size, sigma=sigma).numpy() == pytest.approx(expected / expected.max(), abs=1e-14)


def test_gaussian_of_the_benchmarks() -> None:
    """The windows of the released code; cut off without reflection the first would be 0.6065 0.8825 1 ..."""
    small = lds_kernel("gaussian", size=5, sigma=2.0).tolist()
    assert small == pytest.approx([0.8583, 0.9458, 1, 0.9458, 0.8583], abs=5e-5)
    wide = lds_kernel("gaussian", size=9, sigma=1.0).tolist()
    assert wide[:5] == pytest.approx([0.0003, 0.0111, 0.1353, 0.6065, 1], abs=5e-5)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_triangular_is_scipy_s(size: int) -> None:
    assert lds_kernel("triangular", size=size).numpy() == pytest.approx(triang(size))


def test_laplace_by_hand() -> None:
    expected = [math.exp(-1), math.exp(-0.5), 1, math.exp(-0.5), math.exp(-1)]
    assert lds_kernel("laplace", size=5, sigma=2.0).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["gaussian", "triangular", "laplace"])
def test_kernels_are_symmetric_with_peak_one(name: str) -> None:
    kernel = lds_kernel(name, size=7, sigma=1.5)
    assert kernel.shape == (7,)
    assert kernel.flip(0).tolist() == pytest.approx(kernel.tolist(), abs=1e-15)
    assert kernel[3] == kernel.max() == 1
    assert (kernel > 0).all()


@pytest.mark.parametrize(
    ("name", "size", "sigma", "message"),
    [
        ("gauss", 5, 1, "did you mean 'gaussian'"),
        ("gaussian", 4, 1, "kernel_size: expected an odd integer, got 4"),
        ("gaussian", 5.0, 1, "kernel_size: expected an odd integer, got 5.0"),
        ("gaussian", 0, 1, "kernel_size: "),
        ("gaussian", -1, 1, "kernel_size: "),
        ("gaussian", 5, 0, "sigma: "),
        ("laplace", 5, math.inf, "sigma: "),
    ],
)
def test_wrong_arguments(name: str, size: int, sigma: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lds_kernel(name, size=size, sigma=sigma)
