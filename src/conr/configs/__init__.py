"""Presets that ship with the package; `conr.methods.presets` reads them."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
