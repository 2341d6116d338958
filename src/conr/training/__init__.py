"""Training with Lightning: the module that joins encoder, head, criterion and regularizers, and what records a run."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
