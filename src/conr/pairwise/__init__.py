"""What all contrastive losses share: distances between labels, pair sets, and the engines that contrast features."""

from conr.pairwise.dense import contrast_dense
from conr.pairwise.distances import DISTANCES, Distance, label_distance
from conr.pairwise.engines import ENGINES, choose_engine, contrast
from conr.pairwise.gather import gather_samples, join, world_size
from conr.pairwise.pairs import Contrast, PairSets, Rule, Samples, bin_numbers, equal_labels, pair_sets
from conr.pairwise.push import PUSHES, Push
from conr.pairwise.similarities import cosine_similarities, euclidean_distances
from conr.pairwise.unit import unit_vectors

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
    "bin_numbers",
    "choose_engine",
    "contrast",
    "contrast_dense",
    "cosine_similarities",
    "equal_labels",
    "euclidean_distances",
    "gather_samples",
    "join",
    "label_distance",
    "pair_sets",
    "unit_vectors",
    "world_size",
]
