"""Common ground of all contrastive losses: label distances, pair sets, and the engines that contrast features."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
