"""Memory that one batch frees stays for the next one."""

import functools

import torch

LARGEST_BYTES = 2**25 - 2**16
"""Nearly the largest array that glibc learns from."""


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MB of freed memory instead of giving it back to the system.

    glibc gives back what is free if it is more than twice the largest array freed so far, arrays above 32 MB apart, and
    takes it anew for the next batch, which is slow (``benchmarks/freed_memory.py``). One array, which nothing is
    written to, is enough to raise the limit for the whole process. Other C libraries learn nothing from it.
    """
    torch.empty(LARGEST_BYTES, dtype=torch.uint8)
