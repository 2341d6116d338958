"""Where and with what a run was made."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

import conr


def environment(device: str, *packages: str) -> dict[str, Any]:
    """``versions``, ``hardware`` and ``created`` of a `conr.runs.results.RunResult`.

    Args:
        device: that the run used.
        packages: distributions beside conr, torch, numpy and Python whose versions matter to it.

    Raises:
        importlib.metadata.PackageNotFoundError: one that is not installed.
    """
    return {
        "versions": {
            "conr": conr.__version__,
            **{name: version(name) for name in packages},
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "hardware": {
            "device": device,
            "threads": torch.get_num_threads(),
            "platform": platform.platform(terse=True),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
