"""Kernels of label distribution smoothing (LDS), as the DIR benchmarks use them, and smoothing over bins with them."""

import torch
from torch import Tensor

from conr._checks import check_choice, check_number

KERNELS = ("gaussian", "triangular", "laplace")


_WIDEST = 100_000


def lds_kernel(name: str, *, size: int, sigma: float = 2.0) -> Tensor:
    r"""Symmetric smoothing window with peak 1, shape (size,), float64.

    - ``"gaussian"``: a unit impulse of length ``size``, filtered by a Gaussian (cut off at 4 sigma) whose ends are
      reflected *inside the window*. For small windows this is much flatter than a Gaussian cut off at the window's
      edge: size 5 and sigma 2 give 0.858, 0.946, 1, 0.946, 0.858.
    - ``"triangular"``: falls linearly to zero just outside the window.
    - ``"laplace"``: $e^{-|x| / \sigma}$.

    Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021, and its released code, which these values
    reproduce.

    Args:
        name: see above.
        size: odd number of bins.
        sigma: width of the Gaussian or Laplace kernel, in bins; positive. The triangular one has none.

    Raises:
        ValueError: an unknown name, an even or non-positive size, a sigma that is not positive, or more than 100,000
            bins.

    Example:
        >>> lds_kernel("triangular", size=3)
        tensor([0.5000, 1.0000, 0.5000], dtype=torch.float64)
    """
    check_choice("kernel", name, KERNELS)
    check_number("kernel_size", size, low=1)
    if not isinstance(size, int) or size % 2 == 0:
        raise ValueError(f"kernel_size: expected an odd integer, got {size}")
    check_number("sigma", sigma, low=0, open_low=True)
    if max(size, sigma) > _WIDEST:
        raise ValueError(f"kernel_size and sigma: expected at most {_WIDEST:,} bins, got {size} and {sigma:g}")
    half = size // 2
    offsets = torch.arange(-half, half + 1, dtype=torch.float64)  # (size,)
    if name == "gaussian":
        kernel = _reflected_gaussian(size, sigma)
    elif name == "triangular":
        kernel = 1 - offsets.abs() / (half + 1)
    else:
        kernel = torch.exp(-offsets.abs() / sigma)
    return kernel / kernel.max()


def _reflected_gaussian(size: int, sigma: float) -> Tensor:
    radius = int(4 * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1)  # (steps,)
    weights = torch.exp(-0.5 * (steps.double() / sigma).square())
    # Half-sample reflection (d c b a | a b c d | d c b a) repeats with period 2 * size.
    folded = torch.bincount(steps % (2 * size), weights=weights / weights.sum(), minlength=2 * size)  # (2 size,)
    middle, positions = size // 2, torch.arange(size)
    return folded[(middle - positions) % (2 * size)] + folded[(2 * size - 1 - middle - positions) % (2 * size)]


def smooth_bins(grid: Tensor, kernel: Tensor, *, dimensions: int, boundary: str) -> Tensor:
    """Convolve numbers of bins over the grid of bins, one label dimension after the other.

    Args:
        grid: shape (bins of each label dimension, ...).
        kernel: symmetric window, odd length.
        dimensions: number of label dimensions.
        boundary: numbers beyond the ends: ``"zero"``; ``"reflect"`` the ends reflected (b a | a b c); or
            ``"mirror"`` without the outermost bin again (c b | a b c), as often as a small grid needs.
    """
    half = len(kernel) // 2
    for dimension, size in enumerate(grid.shape[:dimensions]):
        positions = torch.arange(-half, size + half, device=grid.device)  # (size + 2 half,)
        if boundary == "mirror":
            period = max(2 * (size - 1), 1)
            source = torch.minimum(positions % period, period - positions % period)
        else:
            source = torch.minimum(positions % (2 * size), 2 * size - 1 - positions % (2 * size))
        padded = grid.index_select(dimension, source)
        if boundary == "zero":
            inside = (positions >= 0) & (positions < size)  # (size + 2 half,)
            padded = padded * inside.view(-1, *(1,) * (grid.ndim - 1 - dimension))
        grid = (padded.unfold(dimension, len(kernel), 1) * kernel).sum(dim=-1)
    return grid
