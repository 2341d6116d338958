"""One file per method: a pure function with all the maths, and below it a thin module."""

from conr.losses.conr import ConRLoss, ConRStatistics, conr_loss, conr_statistics
from conr.losses.dense_labels import image_means
from conr.losses.elementwise import L1, MSE, Huber, elementwise_loss
from conr.losses.memory import CrossBatchMemory

__all__ = [
    "L1",
    "MSE",
    "ConRLoss",
    "ConRStatistics",
    "CrossBatchMemory",
    "Huber",
    "conr_loss",
    "conr_statistics",
    "elementwise_loss",
    "image_means",
]
