"""Deep imbalanced regression for PyTorch: the ConR contrastive regularizer and what it composes with."""

from conr._lazy import lazy_package

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
