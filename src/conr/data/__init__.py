"""Datasets, their splits, and random views of batches."""

from conr._extras import require
from conr._lazy import lazy_package

require("conr.data", "lightning", "torchmetrics")

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
