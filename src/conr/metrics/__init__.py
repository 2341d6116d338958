"""Metrics over all samples and per shot region."""

from conr._extras import require
from conr._lazy import lazy_package

require("conr.metrics", "torchmetrics")

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
