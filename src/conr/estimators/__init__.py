"""A scikit-learn estimator for tables whose label is a number that is rare where it matters."""

from conr._extras import require
from conr._lazy import lazy_package

require("conr.estimators", "sklearn", "lightning", "torchmetrics", "tabm", "rtdl_num_embeddings", "safetensors")

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
