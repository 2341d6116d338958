"""Layers between encoder and head that use what features of neighbouring labels have in common."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
