"""Datasets, their splits, and random views of batches."""

from conr._extras import require

require("conr.data", "lightning")

from conr.data.abalone import Abalone  # noqa: E402  the check comes first
from conr.data.module import ArrayDataset, RegressionData, Splits  # noqa: E402
from conr.data.rotated_digits import RotatedDigits  # noqa: E402
from conr.data.views import ImageViews, TableViews, Views, make_views  # noqa: E402

__all__ = [
    "Abalone",
    "ArrayDataset",
    "ImageViews",
    "RegressionData",
    "RotatedDigits",
    "Splits",
    "TableViews",
    "Views",
    "make_views",
]
