"""What each process of test_srl.py runs; apart, because a new process imports all that stands beside it."""

from pathlib import Path

import torch
import torch.distributed as dist

from conr.losses import SRLLoss


def remember(rank: int, folder: Path) -> None:
    """See 7 of the 20 samples on rank 0 and the others on rank 1."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    try:
        regularizer = SRLLoss(5, low=0, high=6, bin_width=1, num_points=30)
        features, labels = torch.load(folder / "batch.pt")
        rows = slice(0, 7) if rank == 0 else slice(7, 20)
        regularizer(features[rows], labels[rows])
        regularizer.on_train_epoch_end()
        torch.save(regularizer.surrogate, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
