"""A scikit-learn estimator for tables whose label is a number that is rare where it matters."""

from conr._extras import require

require("conr.estimators", "sklearn", "lightning", "torchmetrics", "tabm", "rtdl_num_embeddings", "safetensors")

from conr.estimators.regressor import ConRRegressor  # noqa: E402  the check comes first

__all__ = ["ConRRegressor"]
