"""Number of threads that a fit uses: several take up to 20 times as long on a busy machine if each has little to do."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import joblib
import torch
from threadpoolctl import threadpool_limits

_THREADS_FROM = 20_000  # rows; with fewer, threads wait for each other longer than they work


def thread_count(rows: int) -> int:
    """Threads for a table of so many rows: one below 20,000, then half of the cores, and no more than are set."""
    cores = 1 if rows < _THREADS_FROM else max(1, joblib.cpu_count() // 2)
    return min(cores, torch.get_num_threads())


def threads_for(rows: int) -> AbstractContextManager[object]:
    """So many threads at most in all native libraries, as long as the context lasts."""
    limits: AbstractContextManager[object] = threadpool_limits(thread_count(rows))
    return limits


@contextmanager
def torch_threads_for(rows: int) -> Iterator[None]:
    """So many threads in torch, as long as the context lasts; other libraries need none for a network."""
    before = torch.get_num_threads()
    torch.set_num_threads(thread_count(rows))
    try:
        yield
    finally:
        torch.set_num_threads(before)
