"""Which pairs attract and which repel: the pair sets of ConR."""

from typing import NamedTuple

import torch
from torch import Tensor

from conr.pairwise.distances import Distance, label_distance


class PairSets(NamedTuple):
    """Pair sets of a batch; row i belongs to anchor i."""

    positives: Tensor  # (n, n) bool: labels agree, without the anchor itself
    negatives: Tensor  # (n, n) bool: predictions agree, labels do not
    label_distance: Tensor  # (n, n)


def pair_sets(labels: Tensor, predictions: Tensor, *, window: float, distance: Distance) -> PairSets:
    r"""Positives and negatives of every anchor.

    $P_i = \{j \neq i : d(y_i, y_j) \le \omega\}$ and
    $Q_i = \{q : d(y_i, y_q) > \omega,\; d(\hat y_i, \hat y_q) \le \omega\}$ (ConR, section 3.2).

    Args:
        labels: shape (n, k).
        predictions: shape (n, k).
        window: $\omega$, in label units.
        distance: see `label_distance`.
    """
    between_labels = label_distance(labels, labels, distance)  # (n, n)
    between_predictions = label_distance(predictions, predictions, distance)  # (n, n)
    alike = between_labels <= window  # (n, n)
    negatives = (between_predictions <= window) & ~alike  # (n, n); false on the diagonal, where labels are alike
    not_self = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)  # (n, n)
    return PairSets(alike & not_self, negatives, between_labels)
