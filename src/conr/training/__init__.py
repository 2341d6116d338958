"""Training with Lightning: the module that joins encoder, head, criterion and regularizers, and what records a run."""

from conr._extras import require

require("conr.training", "lightning", "torchmetrics", "jsonargparse", "rich", "tensorboard")

from conr.training.add_regularizers import AddRegularizers  # noqa: E402  the check comes first
from conr.training.confusion import ConfusionLogger  # noqa: E402
from conr.training.module import RegressionModule, Regularizer  # noqa: E402
from conr.training.momentum import MomentumMemory  # noqa: E402
from conr.training.retraining import RRT, HeadRetraining  # noqa: E402

__all__ = [
    "RRT",
    "AddRegularizers",
    "ConfusionLogger",
    "HeadRetraining",
    "MomentumMemory",
    "RegressionModule",
    "Regularizer",
]
