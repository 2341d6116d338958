"""One file per method: a pure function with all the maths, and below it a thin module."""

from conr.losses.accon import ACConLoss, accon_loss
from conr.losses.conr import ConRLoss, ConRStatistics, conr_loss, conr_statistics
from conr.losses.dense_labels import image_means
from conr.losses.elementwise import L1, MSE, Huber, elementwise_loss
from conr.losses.ordinal_entropy import OrdinalEntropyLoss, ordinal_entropy_loss
from conr.losses.rank_n_contrast import RankNContrastLoss, rank_n_contrast_loss
from conr.losses.ranksim import RankSimLoss, ranksim_loss
from conr.losses.srl import SRLLoss, srl_loss
from conr.losses.supcon import SupConLoss, supcon_loss

__all__ = [
    "L1",
    "MSE",
    "ACConLoss",
    "ConRLoss",
    "ConRStatistics",
    "Huber",
    "OrdinalEntropyLoss",
    "RankNContrastLoss",
    "RankSimLoss",
    "SRLLoss",
    "SupConLoss",
    "accon_loss",
    "conr_loss",
    "conr_statistics",
    "elementwise_loss",
    "image_means",
    "ordinal_entropy_loss",
    "rank_n_contrast_loss",
    "ranksim_loss",
    "srl_loss",
    "supcon_loss",
]
