"""Mixes of methods as one objective: criterion, regularizers, densities, smoothing, label scale and schedules."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
