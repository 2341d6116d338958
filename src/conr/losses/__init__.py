"""One file per method: a pure function with all the maths, and below it a thin module."""

from conr.losses.conr import ConRLoss, ConRStatistics, conr_loss, conr_statistics
from conr.losses.dense_conr import DenseConR, dense_conr_loss
from conr.losses.dense_labels import image_means, masked_rows, pixel_rows, sample_patches, valid_pixels
from conr.losses.elementwise import L1, MSE, Huber, elementwise_loss

__all__ = [
    "L1",
    "MSE",
    "ConRLoss",
    "ConRStatistics",
    "DenseConR",
    "Huber",
    "conr_loss",
    "conr_statistics",
    "dense_conr_loss",
    "elementwise_loss",
    "image_means",
    "masked_rows",
    "pixel_rows",
    "sample_patches",
    "valid_pixels",
]
