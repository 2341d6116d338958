"""Peak memory of a training: that of the GPU, or of the whole process on a CPU."""

import gc
import re
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # of the resident set; see proc(5)


def reset_peak_memory(device: torch.device) -> bool:
    """Let `peak_memory` count from now on; false where a machine cannot: it can on CUDA, and on a CPU under Linux."""
    gc.collect()  # what nothing refers to is no part of what comes
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    if device.type != "cpu":
        return False
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return _resident_peak() is not None


def peak_memory(device: torch.device) -> int | None:
    """The most memory used at a time since `reset_peak_memory`, in bytes; None where it is unknown.

    Of a CUDA device, what tensors took (`torch.cuda.max_memory_allocated`). Of a CPU, the resident set of the process:
    with the interpreter, the libraries and the dataset, so that a difference between methods says more than a ratio.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident_peak() if device.type == "cpu" else None


def _resident_peak() -> int | None:
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024
