"""Tables, pictures and a page that compare runs, out of their result files alone."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
