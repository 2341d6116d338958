"""Runs a function in several processes that know each other through gloo."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

Work = Callable[[int], Any]
"""Takes the rank, returns what torch.save can store."""


def _run_rank(work: Work, rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    try:
        torch.save(work(rank), Path(folder, f"{rank}.pt"))
        dist.barrier()  # gloo may abort a process whose peer has left
    finally:
        dist.destroy_process_group()


def run_processes(work: Work, world: int, folder: Path) -> list[Any]:
    """What ``work`` returns on each rank."""
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_run_rank, args=(work, rank, world, str(folder)), daemon=True) for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=240)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]
