"""The random batches of `conr.testing`."""

from conr.testing import Batch, batches, make_batch

__all__ = ["Batch", "batches", "make_batch"]
