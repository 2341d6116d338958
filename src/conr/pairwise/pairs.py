"""Which pairs attract and which repel: the pair sets of ConR, and what every engine takes and returns."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from conr.pairwise.distances import DISTANCES, Distance, label_distance, real
from conr.pairwise.push import Push

LOG2_E = math.log2(math.e)
NOTHING = -1e30
"""Logarithm of an empty sum: exp2 of it is 0, and unlike minus infinity it can be subtracted from itself."""


class Samples(NamedTuple):
    """A batch as the engines see it, or more candidates that anchors of a batch are compared with."""

    features: Tensor  # (n, d)
    labels: Tensor  # (n, k)
    predictions: Tensor  # (n, k)


class Rule(NamedTuple):
    """What makes two samples a pair, and how much the pair weighs: arguments of `conr.conr_loss`."""

    window: float
    distance: Distance
    distance_scale: float
    push: Push
    temperature: float

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances (n, m) of labels (n, k) and (m, k) that were checked before, as `label_distance` gives them.

        The result is the caller's to change.
        """
        if callable(self.distance):
            return label_distance(first, second, self.distance).clone()
        return DISTANCES[self.distance](first, second)

    def between_tiles(self, first: Tensor, second: Tensor, *, out: Tensor) -> Tensor:
        """The same for many sets (t, n, k) and (t, m, k) at once, (t, n, m); may write to ``out``, of that shape."""
        if callable(self.distance):
            pairs = zip(first, second, strict=True)
            return torch.stack([label_distance(*pair, self.distance) for pair in pairs])
        return DISTANCES[self.distance](first, second, out=out)


class Contrast(NamedTuple):
    """The two terms of every anchor's loss, and the sizes of its pair sets; each of shape (n,)."""

    log_total: Tensor  # log of the sum over positives and weighted negatives; 0 without pairs
    mean_positive: Tensor  # mean similarity of positives, over temperature; 0 without positives
    positives: Tensor  # how many, as floats
    negatives: Tensor  # how many, as floats


class PairSets(NamedTuple):
    """Pair sets of a batch; row i belongs to anchor i. m is n, plus the number of other candidates if there are any."""

    positives: Tensor  # (n, m) bool: labels agree, without the anchor itself
    negatives: Tensor  # (n, m) bool: predictions agree, labels do not
    label_distance: Tensor  # (n, m)


def pair_sets(
    labels: Tensor,
    predictions: Tensor,
    *,
    window: float,
    distance: Distance,
    other_labels: Tensor | None = None,
    other_predictions: Tensor | None = None,
) -> PairSets:
    r"""Positives and negatives of every anchor.

    $P_i = \{j \neq i : d(y_i, y_j) \le \omega\}$ and
    $Q_i = \{q : d(y_i, y_q) > \omega,\; d(\hat y_i, \hat y_q) \le \omega\}$ (ConR, section 3.2).

    Args:
        labels: shape (n, k).
        predictions: shape (n, k).
        window: $\omega$, in label units.
        distance: see `label_distance`.
        other_labels: labels of candidates beside the batch, shape (others, k).
        other_predictions: their predictions.
    """
    all_labels = labels if other_labels is None else torch.cat((labels, other_labels))  # (m, k)
    all_predictions = predictions if other_predictions is None else torch.cat((predictions, other_predictions))
    between_labels = label_distance(labels, all_labels, distance)  # (n, m)
    between_predictions = label_distance(predictions, all_predictions, distance)  # (n, m)
    alike = between_labels <= window  # (n, m)
    # Where predictions agree and labels do not; false on the diagonal, where labels are alike.
    negatives = torch.gt(between_predictions <= window, alike)  # (n, m)
    return PairSets(alike.fill_diagonal_(0), negatives, between_labels)


def bin_numbers(labels: Tensor, bin_width: float) -> Tensor:
    """Number of the bin of each label (n, k), whole numbers as floats: bins are centred at multiples of the width.

    Rounding rather than cutting at multiples: the float32 label 0.3 cannot fall out of the bin of 0.3 by its last bit.
    """
    return torch.floor(real(labels) / bin_width + 0.5)


def equal_labels(labels: Tensor) -> Tensor:
    """Which pairs of labels (n, k) are equal in all dimensions, (n, n) bool."""
    return (labels.unsqueeze(1) == labels.unsqueeze(0)).all(dim=2)
