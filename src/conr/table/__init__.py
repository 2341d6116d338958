"""Models of tables, under the name that `conr.estimators` had for them before."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
