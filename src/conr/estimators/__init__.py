"""A scikit-learn estimator for tables whose label is a number that is rare where it matters."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__, "sklearn", "tabm")
