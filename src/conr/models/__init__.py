"""Encoders (inputs to features) and heads (features to predictions)."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
