"""Models of tables, under the former name of `conr.estimators`."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
