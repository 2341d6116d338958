"""Bins over one or several label dimensions."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conr._checks import check_number
from conr._torch import rounding

if TYPE_CHECKING:
    Labels = Tensor | NDArray[Any]
else:  # configuration files know a `SampleWeights` by exactly its annotations
    Labels = Tensor

MOST_BINS = 10**7
"""In all; a mistyped width would fill the memory."""


class Bins:
    r"""Half-open bins $[e_b, e_{b+1})$ over each label dimension; the last one is closed.

    With several label dimensions the bins are the cells of the grid, numbered with the last dimension fastest.

    Args:
        edges: increasing numbers; or one such sequence per label dimension.
        clamp: whether a label outside belongs to the nearest bin instead of being an error.

    Attributes:
        edges: per label dimension, float64, shape (bins + 1,).
        clamp: as given.

    Raises:
        TypeError: edges that are no numbers in a sequence.
        ValueError: fewer than two edges, edges that are not finite and strictly increasing, or more than ten million
            bins.

    Notes:
        A label lies in the bin that starts at an edge if it is below the edge by rounding alone, as 0.7 - 0.4 is below
        0.3. The allowance is the edge times 4.8e-7, or 8.9e-16 for labels in float64, 4.9e-4 in float16, 3.9e-3 in
        bfloat16, as in the pair rule of ConR; at most half of the bin below. Half-precision labels are compared in
        float32, integers in float64.

    Example:
        >>> import torch
        >>> bins = Bins([0, 10, 20])
        >>> bins.index(torch.tensor([0.0, 10.0, 20.0])).tolist()
        [0, 1, 1]
    """

    def __init__(self, edges: Sequence[float] | Sequence[Sequence[float]], *, clamp: bool = False) -> None:
        try:
            one_dimension = len(edges) == 0 or np.ndim(edges[0]) == 0
            per_dimension = [edges] if one_dimension else edges
            self.edges = tuple(torch.as_tensor(one, dtype=torch.float64).clone() for one in per_dimension)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"edges: expected numbers, or a list of these per dimension, got {edges!r:.80}") from error
        self.clamp = clamp
        self._inner: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for one in self.edges:
            if one.ndim != 1 or len(one) < 2:
                raise ValueError(f"edges: expected at least two numbers per label dimension, got {one.tolist()}")
            if not (torch.isfinite(one).all() and (one.diff() > 0).all()):
                raise ValueError(f"edges: expected finite, strictly increasing numbers, got {one.tolist()}")
        if len(self) > MOST_BINS:
            raise ValueError(f"edges: expected at most {MOST_BINS:,} bins in all, got {len(self):,}")

    @classmethod
    def by_width(
        cls,
        labels: Labels | None = None,
        *,
        width: float | Sequence[float],
        low: float | Sequence[float] | None = None,
        high: float | Sequence[float] | None = None,
        clamp: bool = False,
    ) -> Self:
        """Bins of equal width from ``low`` until ``high`` is covered.

        Args:
            labels: shape (n,) or (n, k), finite; their range stands for a ``low`` or ``high`` that is None.
            width: of a bin, in label units; one number, or one per label dimension.
            low: first edge.
            high: the last edge is the first one that is not below it; a millionth of a width is taken for rounding.
            clamp: see the class.

        Raises:
            ValueError: a width that is not positive; neither labels nor a range; no labels, or one that is not finite;
                high below low; more than ten million bins.

        Example:
            >>> len(Bins.by_width(width=0.1, low=0, high=5))
            50
        """
        lows, highs = _range(labels, low, high)
        widths = per_dimension(width, len(lows), "width")
        edges = []
        for first, last, step in zip(lows, highs, widths, strict=True):
            check_number("width", step, low=0, open_low=True)
            check_number("low", first)
            check_number("high", last, low=first)
            edges.append(_equal_edges(first, last, step))
        return cls(edges, clamp=clamp)

    @classmethod
    def by_count(cls, labels: Labels, *, count: int, clamp: bool = False) -> Self:
        """At most ``count`` bins per label dimension that hold about equally many of the labels (quantiles).

        Quantiles that coincide, because many labels are equal, are merged.

        Raises:
            ValueError: a count below 1, no labels, or a label dimension in which all labels are equal.
        """
        check_number("count", count, low=1)
        columns = finite_columns(labels)  # (n, k)
        steps = np.linspace(0, 1, count + 1)
        edges = [np.unique(np.quantile(column, steps)).tolist() for column in columns.T.cpu().numpy()]
        return cls(edges, clamp=clamp)

    @property
    def dimensions(self) -> int:
        """Number of label dimensions."""
        return len(self.edges)

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins per label dimension."""
        return tuple(len(one) - 1 for one in self.edges)

    @property
    def centers(self) -> Tensor:
        """Middle of each bin, shape (len, k), float64."""
        middles = [(one[:-1] + one[1:]) / 2 for one in self.edges]
        return torch.stack(torch.meshgrid(*middles, indexing="ij"), dim=-1).reshape(-1, self.dimensions)

    def index(self, labels: Labels, *, check: bool = True) -> Tensor:
        """Bin of each label, shape (n,), int64, a tensor on the labels' device.

        Args:
            labels: shape (n,) or (n, k), a tensor of any real dtype and device, or an array.
            check: whether values are checked, which makes a GPU wait. Without the check a label outside is clamped, and
                NaN falls into a bin nobody should rely on.

        Raises:
            TypeError: labels that are no tensor or array of real numbers.
            ValueError: wrong number of label dimensions; a label that is NaN; one outside the bins, unless ``clamp``.
        """
        given = _tensor(labels)
        columns = label_columns(given)  # (n, k)
        if columns.shape[1] != self.dimensions:
            raise ValueError(f"labels: expected {self.dimensions} label dimension(s), got shape {tuple(labels.shape)}")
        if check:
            self._check_inside(columns, given.dtype)
        flat = torch.zeros(len(columns), dtype=torch.long, device=columns.device)
        inner_edges = self._inner_edges(columns.device, given.dtype, columns.dtype)
        for inner, column, size in zip(inner_edges, columns.T, self.shape, strict=True):
            flat = flat * size + torch.bucketize(column.contiguous(), inner, right=True)
        return flat

    def _inner_edges(self, device: torch.device, given: torch.dtype, compared: torch.dtype) -> list[Tensor]:
        # Without the outer two edges, labels beyond them fall into the end bins. Kept, as each copy makes a GPU wait.
        key = (device, given)
        if key not in self._inner:
            self._inner[key] = [inner_edges(one, given, compared).to(device) for one in self.edges]
        return self._inner[key]

    def _check_inside(self, columns: Tensor, given: torch.dtype) -> None:
        for dimension, (one, column) in enumerate(zip(self.edges, columns.T, strict=True)):
            slack = _slack(one, given, column.dtype)  # (bins + 1,)
            low, high = (one[0] - slack[0]).to(column.dtype), (one[-1] + slack[-1]).to(column.dtype)
            bad = column.isnan() if self.clamp else ~((column >= low) & (column <= high))  # (n,)
            if bad.any():
                position = int(bad.nonzero()[0])
                where = f" in label dimension {dimension}" if self.dimensions > 1 else ""
                raise ValueError(
                    f"labels: expected numbers in [{one[0]:g}, {one[-1]:g}]{where}, "
                    f"got {column[position].item():g} at position {position}"
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inner": {}}

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bins):
            return NotImplemented
        return (
            self.clamp == other.clamp
            and self.shape == other.shape
            and all(torch.equal(mine, its) for mine, its in zip(self.edges, other.edges, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        ranges = ", ".join(f"{len(one) - 1} over [{one[0]:g}, {one[-1]:g}]" for one in self.edges)
        return f"Bins({ranges}{', clamp=True' if self.clamp else ''})"


def inner_edges(edges: Tensor, given: torch.dtype, compared: torch.dtype) -> Tensor:
    """Edges (bins + 1,) but for the outer two, lowered by what rounding may take from a label on them.

    Args:
        edges: shape (bins + 1,).
        given: dtype of the labels.
        compared: dtype in which they are compared with the result.
    """
    slack = _slack(edges, given, compared)  # (bins + 1,)
    return (edges[1:-1] - torch.minimum(slack[1:-1], edges.diff()[:-1] / 2)).to(compared)


def _slack(edges: Tensor, given: torch.dtype, compared: torch.dtype) -> Tensor:
    """Allowance for the rounding of labels at each edge, and for that of the edge itself."""
    return (rounding(given if given.is_floating_point else compared) + rounding(compared)) * edges.abs()


def label_columns(labels: Labels) -> Tensor:
    """Labels (n,) or (n, k) as detached (n, k), in their own floating-point type but float32 at least."""
    labels = _tensor(labels)
    if labels.ndim not in (1, 2):
        raise ValueError(f"labels: expected shape (n,) or (n, k), got {tuple(labels.shape)}")
    if labels.dtype is torch.bool or labels.is_complex():
        raise TypeError(f"labels: expected real numbers, got {labels.dtype}")
    columns = labels.detach().unsqueeze(1) if labels.ndim == 1 else labels.detach()
    least = torch.float32 if labels.is_floating_point() else torch.float64
    return columns.to(torch.promote_types(columns.dtype, least))


def _tensor(labels: Labels) -> Tensor:
    if isinstance(labels, np.ndarray):
        if labels.dtype.kind not in "fiu":
            raise TypeError(f"labels: expected real numbers, got {labels.dtype}")
        # A copy, as torch takes no strides below 0, no other byte order and nothing that is read-only.
        is_known = labels.dtype.kind == "f" and labels.dtype.itemsize <= 8
        return torch.from_numpy(labels.astype(labels.dtype.newbyteorder("=") if is_known else float))
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels: expected a torch.Tensor or a NumPy array, got {type(labels).__name__}")
    return labels


def finite_columns(labels: Labels) -> Tensor:
    """Labels (n,) or (n, k) as detached (n, k) in float64; n at least 1, all finite."""
    columns = label_columns(labels).double()  # (n, k)
    if len(columns) == 0:
        raise ValueError("labels: expected at least one label, got none")
    bad = ~columns.isfinite().all(dim=1)  # (n,)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"labels: expected finite numbers, got {columns[first].tolist()} at position {first}")
    return columns


def _equal_edges(first: float, last: float, step: float) -> list[float]:
    if (last - first) / step > MOST_BINS:
        raise ValueError(
            f"width: expected at most {MOST_BINS:,} bins, got a width of {step:g} on [{first:g}, {last:g}]"
        )
    count = max(1, math.ceil((last - first) / step - 1e-6))  # 5 / 0.1 is 50 here, in spite of rounding
    # To twelve significant digits, so that an edge is the number a person would write: 0.3, not 0.30000000000000004.
    digits = 12 - math.ceil(math.log10(max(abs(first), abs(last), step)))
    edges = [round(first + step * position, digits) for position in range(count + 1)]
    return [first, *edges[1:-1], max(edges[-1], last)]


def per_dimension(value: float | Sequence[float], dimensions: int, name: str) -> list[float]:
    """A number for each label dimension: the same one, or as many as are given."""
    values = [float(value)] * dimensions if isinstance(value, (float, Real)) else [float(one) for one in value]
    if len(values) != dimensions:
        raise ValueError(f"{name}: expected {dimensions} numbers, one per label dimension, got {len(values)}")
    return values


def _range(
    labels: Labels | None, low: float | Sequence[float] | None, high: float | Sequence[float] | None
) -> tuple[list[float], list[float]]:
    if labels is None:
        if low is None or high is None:
            raise ValueError("labels: expected labels, or both low and high, got none")
        dimensions = 1 if isinstance(low, (float, Real)) else len(low)
    else:
        columns = finite_columns(labels)  # (n, k)
        dimensions = columns.shape[1]
        low = columns.amin(dim=0).tolist() if low is None else low
        high = columns.amax(dim=0).tolist() if high is None else high
    return per_dimension(low, dimensions, "low"), per_dimension(high, dimensions, "high")
