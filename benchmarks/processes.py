"""Cost of ConR per process when more processes train and each keeps its batch: ``python -m benchmarks.processes``.

Each process computes the loss of its own anchors against the batches of all. As processes here share two cores, the
measure is processor time; it holds the loss, both collectives and the backward pass, and no network.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from benchmarks.timing import environment, write_results
from conr import conr_loss

WORLDS = (1, 2, 3, 4)
SAMPLES = 256  # per process
FEATURES = 128
WINDOW = 1 - (1 - 0.05) ** 0.5  # 5 % of all pairs


def step(features: torch.Tensor, labels: torch.Tensor, predictions: torch.Tensor) -> float:
    """Seconds of processor time of one loss with its backward pass."""
    start = time.process_time()
    conr_loss(features, labels, predictions, window=WINDOW).backward()  # type: ignore[no-untyped-call]
    return time.process_time() - start


def rank_main(rank: int, world: int, runs: int, folder: str) -> None:
    """One process: the same loss again and again, the median time goes to a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous-{world}", rank=rank, world_size=world)
    generator = torch.Generator().manual_seed(rank)
    labels = torch.rand(SAMPLES, generator=generator)
    predictions = labels + 0.1 * torch.randn(SAMPLES, generator=generator)
    features = torch.randn(SAMPLES, FEATURES, generator=generator).requires_grad_()
    seconds = [step(features, labels, predictions) for _ in range(runs + 3)][3:]
    if rank == 0:
        Path(folder, f"{world}.txt").write_text(str(float(np.median(seconds))))
    dist.destroy_process_group()


def measure(world: int, runs: int, folder: str) -> float:
    """Median processor time of rank 0 in seconds."""
    spawn = multiprocessing.get_context("spawn")
    ranks = [spawn.Process(target=rank_main, args=(rank, world, runs, folder)) for rank in range(world)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"{world} processes: expected all to end well, one ended with {process.exitcode}")
    return float(Path(folder, f"{world}.txt").read_text())


def main() -> None:
    """Measure all numbers of processes and write ``benchmarks/results/processes.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="timed steps for each number of processes")
    chosen = parser.parse_args()
    ran_on = environment() | {"threads": 1}
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for world in WORLDS:
            seconds = measure(world, chosen.runs, folder)
            cases.append({"processes": world, "n": SAMPLES, "d": FEATURES, "cpu_ms": 1e3 * seconds})
            print(f"{world} processes: {1e3 * seconds:.1f} ms of processor time per step and process")
    print(write_results("processes", cases, ran_on=ran_on))


if __name__ == "__main__":
    main()
