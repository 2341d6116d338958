"""Grids of runs, datasets x methods x seeds, and their result files."""

from conr._extras import require
from conr._lazy import lazy_package

require(
    "conr.bench", "lightning", "torchmetrics", "jsonargparse", "rich", "tensorboard", "joblib", "matplotlib", "jinja2"
)

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
