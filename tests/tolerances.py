"""The table of tolerances of `conr.testing`; a test that needs a looser one says why."""

from conr.testing import TOLERANCE, Tolerance

__all__ = ["TOLERANCE", "Tolerance"]
