"""Training with Lightning: the module that joins encoder, head, criterion and regularizers, and what records a run."""

from conr._extras import require
from conr._lazy import lazy_package

require("conr.training", "lightning", "torchmetrics", "jsonargparse", "rich", "tensorboard")

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
