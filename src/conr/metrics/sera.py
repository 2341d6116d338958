"""SERA: squared errors weighed by how relevant a label is, as a curve through control points says."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from conr._checks import check_choice, check_number, check_share
from conr._tensor_checks import check_pair
from conr.density.bins import Labels, finite_columns, label_columns

ENDS = ("both", "low", "high")

_WHISKER = 1.5  # quartile ranges


class Relevance:
    r"""Relevance of a label, a number in [0, 1]: a smooth monotone curve between control points.

    Between two points $(y_k, \phi_k)$ and $(y_{k+1}, \phi_{k+1})$ at distance $h$ it is the cubic Hermite polynomial

    $$\phi(y) = \phi_k + (\phi_{k+1} - \phi_k) (3 t^2 - 2 t^3) + h m_k (t^3 - 2 t^2 + t) + h m_{k+1} (t^3 - t^2), \quad
      t = (y - y_k) / h$$

    Symbols: $m_k$ slope at a point: the mean of the slopes of the two lines that meet there, but 0 at a lowest and
    highest point and at both ends, and made smaller where the curve would overshoot. Beyond the ends $\phi$ is
    constant. Source: Ribeiro and Moniz, "Imbalanced regression and extreme value prediction", Machine Learning 2020;
    Fritsch and Carlson, "Monotone piecewise cubic interpolation", SIAM J. Numer. Anal. 1980.

    Args:
        points: at least two pairs of label and relevance, labels increasing.

    Raises:
        TypeError: points that are no pairs of numbers.
        ValueError: fewer than two points, labels that do not increase, a relevance outside [0, 1].

    Example:
        >>> import torch
        >>> Relevance([(0.0, 0.0), (10.0, 1.0)])(torch.tensor([-1.0, 2.5, 5.0, 20.0])).tolist()
        [0.0, 0.15625, 0.5, 1.0]
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        if len(points) < 2:
            raise ValueError(f"points: expected at least two pairs of label and relevance, got {points!r:.80}")
        for point in points:
            if len(point) != 2:
                raise TypeError(f"points: expected pairs of label and relevance, got {point!r:.80}")
            check_number("label of a point", point[0])
            check_share("relevance of a point", point[1])
        self.points = [(float(label), float(relevance)) for label, relevance in points]
        self._labels, self._values = torch.tensor(self.points, dtype=torch.float64).T.contiguous()  # (m,), (m,)
        if not (self._labels.diff() > 0).all():
            raise ValueError(f"points: expected increasing labels, got {self._labels.tolist()}")
        self._slopes = _monotone_slopes(self._labels, self._values)

    @classmethod
    def of_labels(cls, labels: Labels, *, ends: str = "both") -> "Relevance":
        """The curve of a box plot: 0 at the median, 1 at the whiskers and beyond.

        A whisker ends at the last label within 1.5 quartile ranges of the quartile.

        Args:
            labels: of training, shape (n,), finite.
            ends: which extremes are relevant: ``"both"``, ``"low"`` or ``"high"``. With ``"both"``, an end whose
                whisker is the median, as half of the labels or more are equal, is left out.

        Raises:
            ValueError: several label dimensions, unknown ends, labels that are not finite, or no whisker beyond the
                median: give control points.

        Example:
            >>> import torch
            >>> Relevance.of_labels(torch.arange(9.0), ends="high").points
            [(4.0, 0.0), (8.0, 1.0)]
        """
        check_choice("ends", ends, ENDS)
        columns = finite_columns(labels)  # (n, 1)
        if columns.shape[1] != 1:
            raise ValueError(f"labels: expected one label dimension, got shape {tuple(labels.shape)}")
        column = columns[:, 0].cpu().sort().values  # (n,)
        low, median, high = np.quantile(column.numpy(), (0.25, 0.5, 0.75)).tolist()  # torch takes at most 16 million
        reach = _WHISKER * (high - low)
        lowest, highest = float(column[column >= low - reach][0]), float(column[column <= high + reach][-1])
        points = [(median, 0.0)]
        if ends != "high" and lowest < median:
            points = [(lowest, 1.0), *points]
        if ends != "low" and highest > median:
            points = [*points, (highest, 1.0)]
        if len(points) < 2:
            raise ValueError(f"labels: expected a whisker beyond the median {median:g}, got none; give control points")
        return cls(points)

    def __call__(self, labels: Labels) -> Tensor:
        """Relevance of labels (n,) or (n, 1), shape (n,), float64.

        Raises:
            ValueError: several label dimensions.
        """
        columns = label_columns(labels).double()  # (n, 1)
        if columns.shape[1] != 1:
            raise ValueError(f"labels: expected one label dimension, got shape {tuple(labels.shape)}")
        places, values, slopes = (one.to(columns.device) for one in (self._labels, self._values, self._slopes))
        inside = columns[:, 0].clamp(places[0], places[-1])  # (n,)
        left = torch.searchsorted(places, inside, right=True).clamp(1, len(places) - 1) - 1  # (n,)
        width = places[left + 1] - places[left]  # (n,)
        t = (inside - places[left]) / width  # (n,)
        rise = (values[left + 1] - values[left]) * t * t * (3 - 2 * t)  # (n,)
        bend = t * (1 - t) * ((1 - t) * slopes[left] - t * slopes[left + 1])  # (n,)
        return (values[left] + rise + width * bend).clamp(0, 1)

    def __repr__(self) -> str:
        return f"Relevance({self.points})"


def error_relevance_area(predictions: Tensor, labels: Tensor, relevance: Relevance) -> float:
    r"""SERA, the squared error-relevance area: squared errors above every threshold of relevance, as one number.

    $$\mathrm{SERA} = \int_0^1 \sum_{i : \phi(y_i) \ge t} (\hat y_i - y_i)^2 \, dt
      = \sum_i \phi(y_i) (\hat y_i - y_i)^2$$

    Symbols: $\phi$ relevance. The second form follows by taking the sum out of the integral, in which sample i counts
    for all t up to $\phi(y_i)$: exact, where Ribeiro and Moniz ("Imbalanced regression and extreme value prediction",
    Machine Learning 2020) and others after them sum over a thousand thresholds.

    Args:
        predictions: shape (n,) or (n, 1).
        labels: shape of predictions.
        relevance: of labels.

    Returns:
        A sum over samples, in squared label units: compare it on the same samples only.

    Raises:
        ValueError: shapes differ, or several label dimensions.

    Example:
        >>> import torch
        >>> relevance = Relevance([(0.0, 0.0), (10.0, 1.0)])
        >>> error_relevance_area(torch.tensor([3.0, 4.0, 5.0]), torch.tensor([0.0, 5.0, 10.0]), relevance)
        25.5
    """
    check_pair(predictions, labels)
    if predictions.shape != labels.shape:
        raise ValueError(
            f"predictions and labels: expected equal shapes, got {tuple(predictions.shape)} and {tuple(labels.shape)}"
        )
    errors = (predictions.detach().double() - labels.detach().double()).flatten()  # (n,)
    return float((relevance(labels) * errors.square()).sum())


def _monotone_slopes(places: Tensor, values: Tensor) -> Tensor:
    """Slopes at the points, all (m,): 0 at extremes and ends, and within Fritsch and Carlson's circle of radius 3."""
    lines = values.diff() / places.diff()  # (m - 1,)
    slopes = torch.zeros_like(values)
    same = lines[:-1] * lines[1:] > 0  # (m - 2,)
    slopes[1:-1] = torch.where(same, (lines[:-1] + lines[1:]) / 2, 0)
    for piece, line in enumerate(lines.tolist()):
        size = float(slopes[piece : piece + 2].norm())
        if size > 3 * abs(line):
            slopes[piece : piece + 2] *= 3 * abs(line) / size
    return slopes
