"""Encoders (inputs to features) and heads (features to predictions)."""

from conr.models.depth import DepthEncoder, DepthHead
from conr.models.gaze import GazeLeNet
from conr.models.hca import HCAHead
from conr.models.heads import EvidentialHead, LinearHead, UVOTEHead, VIRHead
from conr.models.mlp import MLP
from conr.models.small_cnn import SmallCNN
from conr.models.text import BiLSTM, PairEncoder, SentenceEncoder
from conr.models.timm_encoder import TimmEncoder

__all__ = [
    "MLP",
    "BiLSTM",
    "DepthEncoder",
    "DepthHead",
    "EvidentialHead",
    "GazeLeNet",
    "HCAHead",
    "LinearHead",
    "PairEncoder",
    "SentenceEncoder",
    "SmallCNN",
    "TimmEncoder",
    "UVOTEHead",
    "VIRHead",
]
