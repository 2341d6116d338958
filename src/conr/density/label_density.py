"""Sample weights and shot regions from the distribution of the training labels."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number, check_range, check_share, check_whole
from conr.density.bins import Bins, Labels
from conr.density.kernels import lds_kernel, smooth_bins
from conr.density.regions import REGIONS

SCHEMES = ("none", "inverse", "sqrt_inverse", "power", "effective_number")
BOUNDARIES = ("zero", "reflect")


class SampleWeights(Protocol):
    """A module that learns from the training labels how much each label counts: `LabelDensity`, `DenseWeight`.

    A class of your own that a configuration file names must have exactly these signatures.
    """

    def fit(self, labels: Tensor, bins: Bins | None = None) -> Self:
        """Learn from the training labels (n,) or (n, k); returns self."""

    def weights(self, labels: Tensor, *, check: bool = True) -> Tensor:
        """Weight of each label, shape (n,); values are checked if ``check``."""


class LabelDensity(nn.Module):
    r"""Rarity of each label among the training labels: weights for a loss, counts and shot regions for a report.

    $$w_i \propto 1 / \tilde c_{b(i)}, \qquad \tilde c = k * g(N)$$

    Symbols: $N$ training samples per bin, $b(i)$ bin of label i, $g$ the scheme (clip for INV, square root for SQINV,
    $N^p$ for a power, $(1 - \beta^N) / (1 - \beta)$ for the effective number), $k$ the smoothing kernel of LDS. The
    order of operations is that of the DIR benchmarks: transform, then smooth, then invert, then scale so that the
    weights of the training samples have mean 1 (Yang et al., ICML 2021, section 3.1).
    The effective number of samples is Cui et al.'s, "Class-balanced loss", CVPR 2019, with bins for classes.

    An empty bin whose count stays zero gets the largest weight of a bin with samples: nothing is divided by zero.

    Args:
        bins: bins of the labels; may be given to `fit` instead.
        scheme: ``"none"`` (all weights 1), ``"inverse"`` (INV), ``"sqrt_inverse"`` (SQINV), ``"power"`` (the same with
            any power) or ``"effective_number"``.
        clip: smallest and largest count for ``"inverse"``, such as (5, 1000) in the age benchmarks.
        power: for ``"power"``, at least 0: of the counts before they are inverted. 0 weighs all samples alike, 0.5 is
            SQINV, 1 is INV.
        beta: for ``"effective_number"``, in [0, 1): a bin has room for about $1 / (1 - \beta)$ different samples. 0
            weighs all bins with samples alike; the closer to 1, the closer to ``"inverse"``. 0.9 to 0.9999 in the
            paper.
        kernel: ``"gaussian"``, ``"triangular"`` or ``"laplace"`` for LDS; no smoothing if None.
        kernel_size: odd number of bins.
        sigma: width of the kernel, in bins.
        boundary: what lies beyond the first and last bin while smoothing: ``"zero"`` counts, or ``"reflect"``.
        first_bin: bins before it get its weight, whatever their counts, and take no part in smoothing (the depth
            benchmark's is 7); for one label dimension.
        many: a bin with more training samples is many-shot.
        few: a bin with fewer training samples is few-shot; all others are median-shot.
        fixed_regions: "many", "median" or "few" per bin (the last label dimension fastest), for benchmarks that publish
            such a list; it overrules ``many`` and ``few``.

    Raises:
        ValueError: an unknown scheme, kernel, boundary or region; a kernel with scheme "none", which has nothing to
            smooth; a clip with another scheme than "inverse", or not 0 < low <= high; a power with another scheme than
            "power", none with it, or a negative one; a beta with another scheme than "effective_number", none with it,
            or one outside [0, 1); a negative first_bin; few > many.

    Notes:
        A module, so that its tables move with the model; they are not part of its state_dict, as they follow from the
        training labels. They lie on the device of the labels that `fit` saw, until moved. Weights are float32 for
        labels of any type.

    Example:
        >>> import torch
        >>> labels = torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0])
        >>> density = LabelDensity(Bins([1, 2, 3]), scheme="inverse").fit(labels)
        >>> density.weights(torch.tensor([1.0, 2.0]))
        tensor([0.6250, 2.5000])
    """

    counts: Tensor
    region_of_bin: Tensor
    _weight_of_bin: Tensor

    def __init__(
        self,
        bins: Bins | None = None,
        *,
        scheme: str = "none",
        clip: tuple[float, float] | None = None,
        power: float | None = None,
        beta: float | None = None,
        kernel: str | None = None,
        kernel_size: int = 5,
        sigma: float = 2.0,
        boundary: str = "zero",
        first_bin: int = 0,
        many: int = 100,
        few: int = 20,
        fixed_regions: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        check_choice("scheme", scheme, SCHEMES)
        check_choice("boundary", boundary, BOUNDARIES)
        if kernel is not None and scheme == "none":
            raise ValueError(f"kernel: expected a scheme that counts samples to go with {kernel!r}, got 'none'")
        check_whole("first_bin", first_bin, low=0)
        check_number("few", few, low=0)
        check_number("many", many, low=few)
        if clip is not None and scheme != "inverse":
            raise ValueError(f"clip: expected scheme 'inverse', got {scheme!r}")
        if clip is not None:
            check_range("clip", clip)
        if (power is not None) != (scheme == "power"):
            raise ValueError(f"power: expected a number with scheme 'power' only, got {power} with {scheme!r}")
        if power is not None:
            check_number("power", power, low=0)
        if (beta is not None) != (scheme == "effective_number"):
            raise ValueError(f"beta: expected a number with scheme 'effective_number' only, got {beta} with {scheme!r}")
        if beta is not None:
            check_share("beta", beta, open_high=True)
        for region in fixed_regions or ():
            check_choice("fixed_regions", region, REGIONS)
        self.bins = bins
        self.scheme = scheme
        self.clip = clip
        self.power = power
        self.beta = beta
        self.boundary = boundary
        self.first_bin = first_bin
        self.many = many
        self.few = few
        self.fixed_regions = None if fixed_regions is None else tuple(fixed_regions)
        self._kernel = None if kernel is None else lds_kernel(kernel, size=kernel_size, sigma=sigma)
        for name in ("counts", "region_of_bin", "_weight_of_bin"):
            self.register_buffer(name, None, persistent=False)

    def fit(self, labels: Labels, bins: Bins | None = None) -> Self:
        """Count training labels (n,) or (n, k), a tensor or an array, and make the tables. Returns self.

        Raises:
            ValueError: as `fit_counts`; no labels; a label that is NaN or outside.
        """
        bins = self._chosen_bins(bins)
        index = bins.index(labels)  # (n,)
        counts = torch.bincount(index.cpu(), minlength=len(bins))  # (bins,)
        return self.fit_counts(counts.to(index.device), bins)

    def fit_counts(self, counts: Tensor, bins: Bins | None = None) -> Self:
        """Make the tables from the number of training labels in each bin, where the labels are too many to hold.

        Args:
            counts: integers, shape (bins,) or that of several label dimensions; tables go to their device.
            bins: used if the constructor got none.

        Raises:
            TypeError: counts that are no tensor of integers.
            ValueError: no bins, or different ones than the constructor's; another number of counts or of fixed regions
                than of bins; a negative count; no labels at all; a first bin that the bins do not have.
        """
        bins = self._chosen_bins(bins)
        number = _checked_counts(counts, bins).cpu()  # (bins,)
        weights = self._weights_of_bins(number.double().reshape(bins.shape)).flatten()  # (bins,)
        weights = weights * (number.sum() / (weights * number).sum())
        if self.fixed_regions is not None:
            regions = torch.tensor([REGIONS.index(region) for region in self.fixed_regions])  # (bins,)
        else:
            regions = torch.where(number > self.many, 0, torch.where(number < self.few, 2, 1))  # (bins,)
        self.bins = bins
        self.counts = number.reshape(bins.shape).to(counts.device)
        self.region_of_bin = regions.to(counts.device)
        self._weight_of_bin = weights.float().to(counts.device)
        return self

    def weights(self, labels: Labels, *, check: bool = True) -> Tensor:
        """Weight of each label (n,) or (n, k), float32, shape (n,): 1 on average over the training samples.

        ``check`` is that of `Bins.index`.

        Raises:
            RuntimeError: not fitted.
            ValueError: a label that is NaN or outside the bins.
        """
        return self._weight_of_bin[self.fitted_bins().index(labels, check=check)]

    def regions(self, labels: Labels, *, check: bool = True) -> Tensor:
        """Shot region of each label by the training count of its bin: position in ``REGIONS``, shape (n,), int64.

        Arguments and errors are those of `weights`.
        """
        return self.region_of_bin[self.fitted_bins().index(labels, check=check)]

    def fitted_bins(self) -> Bins:
        """The bins.

        Raises:
            RuntimeError: not fitted.
        """
        if self.bins is None or self.counts is None:
            raise RuntimeError("this LabelDensity has not seen training labels: call fit(labels) first")
        return self.bins

    def table(self) -> dict[str, list[Any]]:
        """The bins as result files keep them; RuntimeError if it is not fitted.

        Returns:
            ``edges``, a list per label dimension; ``train_counts`` and ``regions``, an entry per bin, the last label
            dimension fastest.
        """
        return {
            "edges": [edges.tolist() for edges in self.fitted_bins().edges],
            "train_counts": self.counts.flatten().tolist(),
            "regions": [REGIONS[region] for region in self.region_of_bin.tolist()],
        }

    def _chosen_bins(self, bins: Bins | None) -> Bins:
        if self.bins is not None and bins is not None and self.bins != bins:
            raise ValueError(f"bins: expected those of the constructor, {self.bins}, got {bins}")
        bins = bins if self.bins is None else self.bins
        if bins is None:
            raise ValueError("bins: expected Bins in the constructor or in fit, got none")
        if self.fixed_regions is not None and len(self.fixed_regions) != len(bins):
            raise ValueError(f"fixed_regions: expected {len(bins)}, one per bin, got {len(self.fixed_regions)}")
        if self.first_bin and (bins.dimensions > 1 or self.first_bin >= len(bins)):
            raise ValueError(f"first_bin: expected one of the bins of one label dimension, got {self.first_bin}")
        return bins

    def _weights_of_bins(self, counts: Tensor) -> Tensor:
        if self.scheme == "none":
            return torch.ones_like(counts)
        if self.first_bin:
            weights = self._inverse(counts[self.first_bin :])
            return torch.cat((weights[:1].expand(self.first_bin), weights))
        return self._inverse(counts)

    def _inverse(self, counts: Tensor) -> Tensor:
        occupied = counts > 0
        if not occupied.any():  # all labels lie before the first bin
            return torch.ones_like(counts)
        if self.scheme == "sqrt_inverse":
            counts = counts.sqrt()
        elif self.power is not None:
            counts = counts**self.power
        elif self.beta is not None:
            counts = (1 - self.beta**counts) / (1 - self.beta)
        elif self.clip is not None:
            counts = counts.clamp(*self.clip)
        if self._kernel is not None:
            counts = smooth_bins(counts, self._kernel, dimensions=counts.ndim, boundary=self.boundary)
        return 1 / torch.where(counts > 0, counts, counts[occupied].min())

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return f"bins={self.bins}, scheme={self.scheme!r}, many={self.many}, few={self.few}"


def _checked_counts(counts: Tensor, bins: Bins) -> Tensor:
    if not isinstance(counts, Tensor) or counts.is_floating_point() or counts.is_complex():
        got = counts.dtype if isinstance(counts, Tensor) else type(counts).__name__
        raise TypeError(f"counts: expected a tensor of integers, got {got}")
    if counts.shape not in {(len(bins),), bins.shape}:
        raise ValueError(f"counts: expected shape ({len(bins)},), one per bin, got {tuple(counts.shape)}")
    counts = counts.flatten().long()
    if (counts < 0).any():
        raise ValueError(f"counts: expected no negative number, got {int(counts.min())}")
    if counts.sum() == 0:
        raise ValueError("labels: expected at least one training label, got none")
    return counts
