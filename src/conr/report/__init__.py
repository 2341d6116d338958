"""Tables, pictures and a page that compare runs, out of their result files alone."""

from conr._extras import require
from conr._lazy import lazy_package

require("conr.report", "lightning", "matplotlib", "jinja2", "sklearn", "rich")

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
