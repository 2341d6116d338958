"""One file per method: a pure function with all the maths, and below it a thin module.

Every regularizer takes labels and weights as constants, computes in float32 at least, also under autocast, and answers
a NaN or an infinity in an input with a NaN.
"""

from conr._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
