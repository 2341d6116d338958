"""Rarity of labels: bins, histograms, smoothing, sample weights, shot regions and balanced splits."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
