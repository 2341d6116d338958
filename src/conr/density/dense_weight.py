"""DenseWeight: sample weights from a kernel density of the training labels (Steininger et al., 2021)."""

import math
from typing import Self

import torch
from torch import Tensor, nn

from conr._checks import check_number, check_whole
from conr.density.bins import Bins, finite_columns, label_columns
from conr.density.kde import distinct_labels, relative_density, rule_of_thumb


class DenseWeight(nn.Module):
    r"""Weights that fall linearly with the density of the training labels; usable wherever a `LabelDensity` is.

    $$w_i \propto \max(1 - \alpha \, p'(y_i), \varepsilon), \qquad
      p'(y) = \frac{p(y) - \min_j p(y_j)}{\max_j p(y_j) - \min_j p(y_j)}$$

    scaled so that the weights of the training samples have mean 1.

    Symbols: $p$ Gaussian kernel density of the training labels $y_j$, $\alpha$ alpha, $\varepsilon$ eps. Source:
    "Density-based weighting for imbalanced regression", Machine Learning 110, 2021.

    Differences from the authors' code: the density is interpolated linearly, where that takes the grid point to the
    left; it is evaluated exactly, not by a fast Fourier transform; labels may have several dimensions; each `fit`
    chooses its own bandwidth; its smallest and largest value are those at training labels, as in the paper, not on a
    grid that reaches beyond them.

    Args:
        alpha: how much weights follow the density, not negative: 0 gives weights of 1; from 1 on the most common labels
            get no more than ``eps``.
        eps: smallest weight before scaling; positive.
        bandwidth: standard deviation of the kernel in label units, the same for all label dimensions; positive. If
            None, $1.06\, \sigma\, n^{-1/5}$, and its generalisation to several label dimensions (Silverman's rule).
        points: of the grid between the smallest and the largest label, for one-dimensional labels; at least 2.

    Raises:
        ValueError: a number out of its range.

    Notes:
        One-dimensional labels: ``points`` times the number of distinct labels to fit, O(1) per weight. Several label
        dimensions: the distinct training labels are kept, and each weight costs their number; that suits some ten
        thousand. A label dimension in which all training labels are equal does not count; if there is no other, all
        weights are 1. A label outside the range of the training labels has the weight of the nearest one inside.

        A module, so that its tables move with the model; they are not part of its state_dict, as they follow from the
        training labels. They lie on the device of the labels that `fit` saw, until moved.

    Example:
        >>> import torch
        >>> labels = torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0])
        >>> DenseWeight(alpha=0.5, bandwidth=0.1).fit(labels).weights(torch.tensor([1.0, 1.5, 2.0]))
        tensor([0.8333, 1.6667, 1.6667])
    """

    _grid: Tensor | None
    _samples: Tensor
    _shares: Tensor

    def __init__(
        self, *, alpha: float = 1.0, eps: float = 1e-6, bandwidth: float | None = None, points: int = 4096
    ) -> None:
        super().__init__()
        check_number("alpha", alpha, low=0)
        check_number("eps", eps, low=0, open_low=True)
        if bandwidth is not None:
            check_number("bandwidth", bandwidth, low=0, open_low=True)
        check_whole("points", points, low=2)
        self.alpha = alpha
        self.eps = eps
        self.bandwidth = bandwidth
        self.points = points
        self._low: list[float] = []
        self._high: list[float] = []
        self._width: list[float] = []
        self._least, self._spread, self._scale = 0.0, math.inf, 1.0
        for name in ("_grid", "_samples", "_shares"):
            self.register_buffer(name, None, persistent=False)

    def fit(self, labels: Tensor, bins: Bins | None = None) -> Self:  # noqa: ARG002  fits like LabelDensity
        """Estimate the density of the training labels (n,) or (n, k); ``bins`` are not needed. Returns self.

        Raises:
            ValueError: no labels, or one that is not finite; a grid that is too coarse for the bandwidth.
        """
        columns = finite_columns(labels)  # (n, k)
        low, high = columns.amin(dim=0), columns.amax(dim=0)  # (k,)
        width = rule_of_thumb(columns) if self.bandwidth is None else torch.full_like(low, self.bandwidth)
        width = torch.where(low == high, math.inf, width)  # where all are equal, all distances are 0
        needed = 1 + math.ceil(2 * float((high[0] - low[0]) / width[0]))
        if columns.shape[1] == 1 and needed > self.points:
            raise ValueError(
                f"points: expected at least {needed}, half a bandwidth apart on the range of labels, got {self.points}"
            )
        self._low, self._high, self._width = low.tolist(), high.tolist(), width.tolist()
        samples, shares = distinct_labels(columns)  # (u, k), (u,)
        samples = (samples - low) / width
        self._samples, self._shares = samples.float(), shares.float()
        self._grid = None
        if columns.shape[1] == 1:
            grid = torch.linspace(0, 1, self.points, dtype=torch.float64, device=labels.device) * (high - low) / width
            self._grid = relative_density(grid.unsqueeze(1), samples, shares).float()
        density = self._density(columns)  # (n,)
        # NOTE[DIFF]: the released code scales by densities on a grid that reaches beyond the labels.
        self._least = density.min().item()
        spread = density.max().item() - self._least
        # Densities that differ by less than rounding are equal, and no label is rarer than another.
        self._spread = spread if spread > 1e-6 * density.max().item() else math.inf
        self._scale = 1.0
        self._scale = 1 / self._weights(density).mean().item()
        return self

    def weights(self, labels: Tensor, *, check: bool = True) -> Tensor:
        """Weight of each label (n,) or (n, k), float32, shape (n,): 1 on average over the training samples.

        ``check`` tells whether labels are checked, which makes a GPU wait.

        Raises:
            RuntimeError: not fitted.
            ValueError: another number of label dimensions than the training labels; a label that is not finite.
        """
        if not self._low:
            raise RuntimeError("this DenseWeight has not seen training labels: call fit(labels) first")
        columns = label_columns(labels)  # (n, k)
        if columns.shape[1] != len(self._low):
            raise ValueError(f"labels: expected {len(self._low)} label dimension(s), got shape {tuple(labels.shape)}")
        if check and len(columns):
            finite_columns(labels)
        return self._weights(self._density(columns)).float()

    def _density(self, columns: Tensor) -> Tensor:
        scaled = [
            (column.clamp(low, high) - low) / width
            for column, low, high, width in zip(columns.T, self._low, self._high, self._width, strict=True)
        ]
        if self._grid is None:
            return relative_density(torch.stack(scaled, dim=1), self._samples, self._shares)
        reach = (self._high[0] - self._low[0]) / self._width[0]
        position = scaled[0] * ((len(self._grid) - 1) / reach if reach else 0)  # (n,)
        # NOTE[DIFF]: the released code takes the grid point to the left.
        before = position.long().clamp(0, len(self._grid) - 2)
        return torch.lerp(
            self._grid[before].to(position.dtype), self._grid[before + 1].to(position.dtype), position - before
        )

    def _weights(self, density: Tensor) -> Tensor:
        common = ((density - self._least) / self._spread).clamp(0, 1)  # (n,), p'
        return (1 - self.alpha * common).clamp(min=self.eps) * self._scale

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return f"alpha={self.alpha}, eps={self.eps}, bandwidth={self.bandwidth}"
