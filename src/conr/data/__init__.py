"""Datasets, their splits, and random views of batches."""

from conr._extras import require

require("conr.data", "lightning", "torchmetrics")

from conr.data.abalone import Abalone  # noqa: E402  the check comes first
from conr.data.dense_views import DenseViews  # noqa: E402
from conr.data.module import ArrayDataset, Inputs, RegressionData, RegressionDataset, Splits  # noqa: E402
from conr.data.nyud2 import NYUD2  # noqa: E402
from conr.data.rotated_digits import RotatedDigits  # noqa: E402
from conr.data.views import ImageViews, TableViews, Views, make_views  # noqa: E402

__all__ = [
    "NYUD2",
    "Abalone",
    "ArrayDataset",
    "DenseViews",
    "ImageViews",
    "Inputs",
    "RegressionData",
    "RegressionDataset",
    "RotatedDigits",
    "Splits",
    "TableViews",
    "Views",
    "make_views",
]
