"""Rare labels with any regressor of scikit-learn: weights, correction, intervals, folds and scorers."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__, "sklearn")
