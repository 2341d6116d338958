"""Versions and hardware with which a run was made."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import conr


def environment(device: str, *packages: str) -> dict[str, Any]:
    """``versions``, ``hardware`` and ``created`` of a `conr.runs.RunResult`.

    Args:
        device: that the run used.
        packages: distributions beside conr, torch, NumPy and Python whose versions matter to it.
    """
    torch = sys.modules.get("torch")  # a run that does without it does not load it here
    return {
        "versions": {
            "conr": conr.__version__,
            **{name: version(name) for name in (*packages, "torch", "numpy")},
            "python": platform.python_version(),
        },
        "hardware": {
            "device": device,
            "threads": torch.get_num_threads() if torch else os.cpu_count(),
            "platform": platform.platform(terse=True),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
