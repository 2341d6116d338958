"""The smoothers under contract. A new method adds one line and gets every check of `conr.testing`."""

from typing import Any

from tests.oracles.fds import fds

from conr.smoothing import FDS
from conr.testing import SmootherCase


def _fds(**settings: Any) -> SmootherCase:
    return SmootherCase(FDS, {"kernel": "triangular", "kernel_size": 3, "momentum": 0.7} | settings, fds)


SMOOTHERS = {
    "fds": _fds(),
    "fds-wide": _fds(kernel="laplace", kernel_size=9, sigma=1.5, clip=(0.5, 2.0), fill=False),
    "fds-late": _fds(momentum=None, start_update=1, start_smooth=2),
    "fds-reference": _fds(reference=True, fill=False),
    "fds-reference-filled": _fds(reference=True),
}
