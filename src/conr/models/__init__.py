"""Encoders (inputs to features) and heads (features to predictions)."""

from conr.models.depth import DepthEncoder, DepthHead
from conr.models.heads import LinearHead
from conr.models.mlp import MLP
from conr.models.small_cnn import SmallCNN

__all__ = ["MLP", "DepthEncoder", "DepthHead", "LinearHead", "SmallCNN"]
