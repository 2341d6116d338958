"""Files that a run leaves: its result, outputs, history, configuration, failure and environment."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
