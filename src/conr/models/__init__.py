"""Encoders (inputs to features) and heads (features to predictions)."""

from conr.models.heads import EvidentialHead, LinearHead, UVOTEHead
from conr.models.mlp import MLP
from conr.models.small_cnn import SmallCNN

__all__ = ["MLP", "EvidentialHead", "LinearHead", "SmallCNN", "UVOTEHead"]
