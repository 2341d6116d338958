"""Datasets, their splits, and random views of batches."""

from conr._extras import require

require("conr.data", "lightning", "torchmetrics")

from conr.data.abalone import Abalone  # noqa: E402  the check comes first
from conr.data.embedding_cache import TextEncoder, cached_embeddings  # noqa: E402
from conr.data.module import ArrayDataset, Inputs, RegressionData, RegressionDataset, Splits  # noqa: E402
from conr.data.pair_views import CorruptPairs, MixPairs, PairViews, SwapPairs  # noqa: E402
from conr.data.rotated_digits import RotatedDigits  # noqa: E402
from conr.data.sentence_pairs import WordPairs, WordVectors, read_word_vectors  # noqa: E402
from conr.data.sts_b import STSB, STSBWords  # noqa: E402
from conr.data.views import ImageViews, TableViews, Views, make_views  # noqa: E402

__all__ = [
    "STSB",
    "Abalone",
    "ArrayDataset",
    "CorruptPairs",
    "ImageViews",
    "Inputs",
    "MixPairs",
    "PairViews",
    "RegressionData",
    "RegressionDataset",
    "RotatedDigits",
    "STSBWords",
    "Splits",
    "SwapPairs",
    "TableViews",
    "TextEncoder",
    "Views",
    "WordPairs",
    "WordVectors",
    "cached_embeddings",
    "make_views",
    "read_word_vectors",
]
