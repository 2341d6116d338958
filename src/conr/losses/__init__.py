"""One file per method: a pure function with all the maths, and below it a thin module."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
