"""Scikit-learn estimators for tables with a numeric label whose important values are rare."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__, "sklearn", "tabm")
