"""Encoders (inputs to features) and heads (features to predictions)."""

from conr.models.heads import LinearHead
from conr.models.mlp import MLP
from conr.models.small_cnn import SmallCNN
from conr.models.text import BiLSTM, PairEncoder, SentenceEncoder

__all__ = ["MLP", "BiLSTM", "LinearHead", "PairEncoder", "SentenceEncoder", "SmallCNN"]
