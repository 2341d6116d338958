"""Datasets, their splits, and random views of batches."""

from conr._extras import require

require("conr.data", "lightning", "torchmetrics")

from conr.data.abalone import Abalone  # noqa: E402  the check comes first
from conr.data.agedb import AgeDB  # noqa: E402
from conr.data.dense_views import DenseViews  # noqa: E402
from conr.data.embedding_cache import TextEncoder, cached_embeddings  # noqa: E402
from conr.data.folder import ImageFolder  # noqa: E402
from conr.data.gaze_views import GazeViews  # noqa: E402
from conr.data.images import ImageData, ImageDataset, UnreadableImageError  # noqa: E402
from conr.data.imdb_wiki import ImdbWiki  # noqa: E402
from conr.data.module import ArrayDataset, Inputs, RegressionData, RegressionDataset, Splits  # noqa: E402
from conr.data.mpiigaze import MPIIGaze  # noqa: E402
from conr.data.nyud2 import NYUD2  # noqa: E402
from conr.data.pair_views import CorruptPairs, MixPairs, PairViews, SwapPairs  # noqa: E402
from conr.data.protocols import BlindSpot, Extrapolation, Interpolation, Protocol  # noqa: E402
from conr.data.rotated_digits import RotatedDigits  # noqa: E402
from conr.data.sentence_pairs import WordPairs, WordVectors, read_word_vectors  # noqa: E402
from conr.data.splits import balanced_split  # noqa: E402
from conr.data.sts_b import STSB, STSBWords  # noqa: E402
from conr.data.table import Table  # noqa: E402
from conr.data.views import ImageViews, TableViews, Views, make_views  # noqa: E402
from conr.data.views_table import DropoutViews, MixViews  # noqa: E402

__all__ = [
    "NYUD2",
    "STSB",
    "Abalone",
    "AgeDB",
    "ArrayDataset",
    "BlindSpot",
    "CorruptPairs",
    "DenseViews",
    "DropoutViews",
    "Extrapolation",
    "GazeViews",
    "ImageData",
    "ImageDataset",
    "ImageFolder",
    "ImageViews",
    "ImdbWiki",
    "Inputs",
    "Interpolation",
    "MPIIGaze",
    "MixPairs",
    "MixViews",
    "PairViews",
    "Protocol",
    "RegressionData",
    "RegressionDataset",
    "RotatedDigits",
    "STSBWords",
    "Splits",
    "SwapPairs",
    "Table",
    "TableViews",
    "TextEncoder",
    "UnreadableImageError",
    "Views",
    "WordPairs",
    "WordVectors",
    "balanced_split",
    "cached_embeddings",
    "make_views",
    "read_word_vectors",
]
