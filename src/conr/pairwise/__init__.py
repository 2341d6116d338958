"""What all contrastive losses share: distances between labels, pair sets, and the engines that contrast features."""

from conr.pairwise.dense import contrast_dense
from conr.pairwise.distances import DISTANCES, Distance, label_distance
from conr.pairwise.engines import ENGINES, contrast
from conr.pairwise.gather import gather_samples, join, world_size
from conr.pairwise.pairs import Contrast, PairSets, Rule, Samples, pair_sets
from conr.pairwise.push import PUSHES, Push

__all__ = [
    "DISTANCES",
    "ENGINES",
    "PUSHES",
    "Contrast",
    "Distance",
    "PairSets",
    "Push",
    "Rule",
    "Samples",
    "contrast",
    "contrast_dense",
    "gather_samples",
    "join",
    "label_distance",
    "pair_sets",
    "world_size",
]
