"""Grids of runs, datasets x methods x seeds, and their result files."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
