"""What all contrastive losses share: distances between labels, pair sets, and the engines that contrast features."""

from conr.pairwise.dense import contrast_dense
from conr.pairwise.distances import DISTANCES, Distance, label_distance
from conr.pairwise.pairs import PairSets, pair_sets

__all__ = ["DISTANCES", "Distance", "PairSets", "contrast_dense", "label_distance", "pair_sets"]
