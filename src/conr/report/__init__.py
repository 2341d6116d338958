"""Tables, pictures and a page that compare runs, made only from their result files."""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
