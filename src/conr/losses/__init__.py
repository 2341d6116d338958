"""One file per method: a pure function with all the maths, and below it a thin module."""

from conr.losses.accon import ACConLoss, accon_loss
from conr.losses.balanced_mse import BMC, BNI, GAI, bmc_loss, bni_loss, gai_loss
from conr.losses.confusion import Confusion, conr_confusion
from conr.losses.conr import ConRLoss, ConRStatistics, conr_loss, conr_statistics
from conr.losses.dense_conr import DenseConR, dense_conr_loss
from conr.losses.dense_labels import image_means, masked_rows, pixel_rows, sample_patches, valid_pixels
from conr.losses.dist_loss import DistLoss, dist_loss
from conr.losses.elementwise import L1, MSE, Huber, elementwise_loss
from conr.losses.evidential import Evidential, NormalInverseGamma, evidential_loss, evidential_parameters
from conr.losses.focal import FocalR, focal_r_loss
from conr.losses.hca import HCA, hca_log_probabilities, hca_loss, label_hierarchy
from conr.losses.memory import CrossBatchMemory
from conr.losses.ordinal_entropy import OrdinalEntropyLoss, ordinal_entropy_loss
from conr.losses.rank_n_contrast import RankNContrastLoss, rank_n_contrast_loss
from conr.losses.ranksim import RankSimLoss, ranksim_loss
from conr.losses.srl import SRLLoss, srl_loss
from conr.losses.supcon import SupConLoss, supcon_loss
from conr.losses.uvote import UVOTE, LaplaceVote, uvote_loss, uvote_vote
from conr.losses.vir import VIR, vir_loss, vir_parameters

__all__ = [
    "BMC",
    "BNI",
    "GAI",
    "HCA",
    "L1",
    "MSE",
    "UVOTE",
    "VIR",
    "ACConLoss",
    "ConRLoss",
    "ConRStatistics",
    "Confusion",
    "CrossBatchMemory",
    "DenseConR",
    "DistLoss",
    "Evidential",
    "FocalR",
    "Huber",
    "LaplaceVote",
    "NormalInverseGamma",
    "OrdinalEntropyLoss",
    "RankNContrastLoss",
    "RankSimLoss",
    "SRLLoss",
    "SupConLoss",
    "accon_loss",
    "bmc_loss",
    "bni_loss",
    "conr_confusion",
    "conr_loss",
    "conr_statistics",
    "dense_conr_loss",
    "dist_loss",
    "elementwise_loss",
    "evidential_loss",
    "evidential_parameters",
    "focal_r_loss",
    "gai_loss",
    "hca_log_probabilities",
    "hca_loss",
    "image_means",
    "label_hierarchy",
    "masked_rows",
    "ordinal_entropy_loss",
    "pixel_rows",
    "rank_n_contrast_loss",
    "ranksim_loss",
    "sample_patches",
    "srl_loss",
    "supcon_loss",
    "uvote_loss",
    "uvote_vote",
    "valid_pixels",
    "vir_loss",
    "vir_parameters",
]
