"""Monotone maps of a prediction, and the choice among them by balanced error."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.rare.labels import Floats, Positions, bin_index

MAPS = ("none", "linear", "isotonic")

_ROWS_FOR = {"linear": 20.0, "isotonic": 100.0}
"""Effective rows below which the map is no candidate."""


class Correction(NamedTuple):
    """A piecewise linear map of predictions; beyond its ends the correction stays as large as it is there.

    Attributes:
        kind: "none", "linear" or "isotonic".
        places: predictions, increasing, shape (m,).
        values: what they become, shape (m,).
    """

    kind: str
    places: Floats
    values: Floats

    def __call__(self, predictions: Floats) -> Floats:
        """Corrected predictions, shape (n,)."""
        inside = predictions.clip(self.places[0], self.places[-1])
        found: Floats = np.interp(inside, self.places, self.values) + (predictions - inside)
        return found


class Pairs(NamedTuple):
    """Predictions by models that have not seen the labels, shape (n,) each.

    Attributes:
        predictions: of one target.
        labels: of that target.
        supported: whether the model that predicted has seen another label of the same bin.
    """

    predictions: Floats
    labels: Floats
    supported: NDArray[np.bool_]

    def some(self, rows: Positions | NDArray[np.bool_]) -> "Pairs":
        """Some of the rows."""
        return Pairs(self.predictions[rows], self.labels[rows], self.supported[rows])


class Judged(NamedTuple):
    """Balanced error of a candidate on rows that neither model nor map has seen.

    Attributes:
        error: mean over label bins of the mean absolute error.
        gain: how much lower it is than that of the plain predictions.
        standard_error: of the gain.
    """

    error: float
    gain: float
    standard_error: float


def rarity(labels: Floats, bins: Bins, power: float) -> Floats:
    """Weights of labels (n,) by their counts in bins to a power, mean 1."""
    density = LabelDensity(bins, scheme="power", power=power).fit(labels)
    return density.weights(labels).double().numpy()


def fit_map(kind: str, pairs: Pairs, bins: Bins, power: float) -> Correction:
    """Fit a map on the supported rows; it changes nothing if there are none."""
    predictions, labels, _ = pairs.some(pairs.supported)
    if kind == "none" or len(labels) == 0:
        return Correction("none", np.zeros(1), np.zeros(1))
    weights = rarity(labels, bins, power)
    if kind == "isotonic":
        curve = IsotonicRegression(out_of_bounds="clip").fit(predictions, labels, sample_weight=weights)
        return Correction(kind, curve.X_thresholds_, curve.y_thresholds_)
    middle, mean = (float(np.average(one, weights=weights)) for one in (predictions, labels))
    spread = float(weights @ (predictions - middle) ** 2)
    slope = max(float(weights @ ((predictions - middle) * (labels - mean))) / spread, 0.0) if spread > 0 else 1.0
    ends = np.unique([predictions.min(), predictions.max()])
    return Correction(kind, ends, mean + slope * (ends - middle))


def candidates(pairs: Pairs, bins: Bins, power: float) -> list[str]:
    """Maps that the number of supported rows allows, as their weights leave it: few rows, few degrees of freedom."""
    labels = pairs.labels[pairs.supported]
    if len(labels) == 0:
        return ["none"]
    weights = rarity(labels, bins, power)
    effective = weights.sum() ** 2 / (weights**2).sum()
    return [kind for kind in MAPS if effective >= _ROWS_FOR.get(kind, 0)]


def affordable(kind: str, pairs: Pairs, bins: Bins, power: float) -> str:
    """The map, or the next simpler one that the number of supported rows allows."""
    found = candidates(pairs, bins, power)
    return kind if kind in found else found[-1]


def judge(corrected: Sequence[Floats], pairs: Pairs, bins: Bins) -> list[Judged]:
    """Judge predictions against the plain ones on the supported rows.

    The standard error is that of a mean with these weights, bins that hold one row included: rows around the gain.

    Args:
        corrected: predictions of each candidate, shape (n,).
        pairs: the plain predictions.
        bins: of the labels.
    """
    predictions, labels, _ = pairs.some(pairs.supported)
    shares = rarity(labels, bins, 1.0) / len(labels)  # (n,): of each occupied bin as much, 1 in all
    plain = np.abs(predictions - labels)
    found = []
    for one in corrected:
        errors = np.abs(one[pairs.supported] - labels)
        gain = float(shares @ (plain - errors))
        standard_error = float(np.sqrt(shares**2 @ (plain - errors - gain) ** 2))
        found.append(Judged(float(shares @ errors), gain, standard_error))
    return found


def best_of(judged: Mapping[str, Judged]) -> str:
    """The candidate with the lowest error, if it gains more than its standard error; else "none"."""
    best = min(judged, key=lambda kind: judged[kind].error, default="none")
    return best if best != "none" and judged[best].gain > judged[best].standard_error else "none"


class CrossFitted:
    """Predictions of one target by models that have not seen one fold or two.

    Args:
        without: predictions (n,) by the folds that the model has not seen, one fold being (fold, fold).
        labels: shape (n,).
        fold: of each row, shape (n,).
        bins: of the labels.
        seen: whether the model had other rows, so that which of these share a bin says nothing about it.
    """

    def __init__(
        self, without: Mapping[tuple[int, int], Floats], labels: Floats, fold: Positions, bins: Bins, *, seen: bool
    ) -> None:
        self.without = without
        self.labels = labels
        self.fold = fold
        self.bins = bins
        self.seen = seen

    def pairs(self, left_out: int | None = None) -> Pairs:
        """Each row as models predict it that have not seen its fold, nor the one that is left out."""
        predictions, supported = np.full(len(self.labels), np.nan), np.zeros(len(self.labels), dtype=bool)
        index = bin_index(self.labels, self.bins)  # (n,)
        for own in range(self.fold.max() + 1):
            rows = self.fold == own
            other = own if left_out is None else left_out
            predictions[rows] = self.without[min(own, other), max(own, other)][rows]
            trained = np.bincount(index[(self.fold != own) & (self.fold != other)], minlength=len(self.bins))  # (bins,)
            supported[rows] = (trained[index[rows]] > 0) | self.seen
        found = Pairs(predictions, self.labels, supported)
        return found if left_out is None else found.some(self.fold != left_out)

    def judged(self, power: float) -> dict[str, Judged]:
        """Candidates by name, each fold corrected by maps that know neither it nor a model that has seen it."""
        plain = self.pairs()
        kinds = candidates(plain, self.bins, power)
        if kinds == ["none"]:
            return {}
        corrected = {kind: np.empty(len(self.labels)) for kind in kinds}
        for left_out in range(self.fold.max() + 1):
            rows, others = self.fold == left_out, self.pairs(left_out)
            for kind in kinds:
                corrected[kind][rows] = fit_map(kind, others, self.bins, power)(plain.predictions[rows])
        return dict(zip(kinds, judge(list(corrected.values()), plain, self.bins), strict=True))
