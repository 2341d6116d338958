"""How rare each label is: bins, histograms, smoothing, sample weights and shot regions."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
