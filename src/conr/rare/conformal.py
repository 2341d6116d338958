"""Sets of labels around predictions, with a quantile of the error per group of labels."""

import math
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from conr._checks import check_number
from conr.density import GROUPS, REGIONS
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.rare.labels import Floats, bin_index

_ROUNDING = 1e-9


class LabelSets(NamedTuple):
    """Groups of labels and their quantiles, which turn predictions into sets.

    Attributes:
        groups: of neighbouring label bins.
        quantiles: the error that labels of a group keep within, shape (groups,).
    """

    groups: Bins
    quantiles: Floats

    @classmethod
    def calibrated(cls, errors: Floats, labels: Floats, groups: Bins, coverage: float) -> Self:
        """Quantiles of absolute errors (n,) of predictions by models that have not seen the labels (n,)."""
        group = bin_index(labels, groups)  # (n,)
        return cls(groups, np.array([_quantile(errors[group == one], coverage) for one in range(len(groups))]))

    def sets(self, predictions: Floats) -> Floats:
        """Ends of an interval per group, shape (n, groups, 2); NaN for a group of which the set has no label."""
        columns = predictions.reshape(-1, 1)  # (n, 1)
        edges = self.groups.edges[0].numpy().copy()
        edges[0], edges[-1] = -np.inf, np.inf  # a label beyond the training ones belongs to the outer groups
        low = np.maximum(columns - self.quantiles, edges[:-1])  # (n, groups)
        high = np.minimum(columns + self.quantiles, edges[1:])  # (n, groups)
        ends = np.stack((low, high), axis=2)
        return np.where((low <= high)[:, :, None], ends, np.nan)

    def intervals(self, predictions: Floats) -> Floats:
        """Lowest and highest label of each set, shape (n, 2)."""
        sets = self.sets(predictions)
        return np.stack((np.nanmin(sets[:, :, 0], axis=1), np.nanmax(sets[:, :, 1], axis=1)), axis=1)

    def evaluate(self, predictions: Floats, labels: Floats, density: LabelDensity) -> dict[str, dict[str, float]]:
        """Coverage and widths by shot region; see `conr.rare.RareIntervals.evaluate`."""
        sets, ends = self.sets(predictions), self.intervals(predictions)
        per_row = {
            "coverage": np.abs(predictions - labels) <= self.quantiles[bin_index(labels, self.groups)],
            "set_width": np.nansum(sets[:, :, 1] - sets[:, :, 0], axis=1),
            "width": ends[:, 1] - ends[:, 0],
        }
        region = density.regions(torch.from_numpy(labels)).numpy()  # (n,)
        chosen = [np.ones(len(labels), dtype=bool), *(region == one for one in range(len(REGIONS)))]
        return {
            name: {"count": float(rows.sum())}
            | {key: float(values[rows].mean()) if rows.any() else math.nan for key, values in per_row.items()}
            for name, rows in zip(GROUPS, chosen, strict=True)
        }


def rows_for(coverage: float) -> int:
    """The fewest calibration rows with which a group has a finite quantile.

    Raises:
        TypeError, ValueError: a coverage that is no number above 0 and below 1.
    """
    check_number("coverage", coverage, low=0, open_low=True)
    if coverage >= 1:
        raise ValueError(f"coverage: expected a number below 1, got {coverage}")
    return math.ceil(1 / (1 - coverage) - _ROUNDING) - 1


def joined_bins(bins: Bins, counts: NDArray[np.int64], least: int) -> Bins:
    """Join bins until each has enough rows: the emptiest one with its emptier neighbour, again and again.

    Args:
        bins: of labels.
        counts: rows in each, shape (bins,).
        least: rows that a group needs.

    Raises:
        ValueError: fewer rows in all.
    """
    edges, rows = bins.edges[0].tolist(), counts.tolist()
    while len(rows) > 1 and min(rows) < least:
        emptiest = rows.index(min(rows))
        right = emptiest == 0 or (emptiest + 1 < len(rows) and rows[emptiest + 1] < rows[emptiest - 1])
        first = emptiest if right else emptiest - 1
        rows[first : first + 2] = [rows[first] + rows[first + 1]]
        del edges[first + 1]
    if min(rows) < least:
        raise ValueError(f"y: expected at least {least} rows for this coverage, got n_samples = {sum(rows)}")
    return Bins(edges, clamp=True)


def _quantile(errors: Floats, coverage: float) -> float:
    """The smallest error that a new one of the same kind does not exceed with this probability."""
    rank = math.ceil((len(errors) + 1) * coverage - _ROUNDING)
    return float(np.sort(errors)[rank - 1])
