"""Deep imbalanced regression for PyTorch: the ConR contrastive regularizer and what it composes with."""

from conr.density import Bins, LabelDensity
from conr.losses import ConRLoss, conr_loss, conr_statistics

__version__ = "0.1.0"

__all__ = ["Bins", "ConRLoss", "LabelDensity", "__version__", "conr_loss", "conr_statistics"]
