import json
import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import MetricCollection

from conr.density import Bins, LabelDensity
from conr.metrics import gaze_metrics, regression_metrics, shot_metrics

WORLD = 2


def density(dimensions: int) -> LabelDensity:
    train = 4 * torch.rand(80, dimensions, generator=torch.Generator().manual_seed(0)) ** 2
    many, few = (20, 12) if dimensions == 1 else (10, 3)
    return LabelDensity(Bins([range(5)] * dimensions), many=many, few=few).fit(train)


def samples(dimensions: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (23,) if dimensions == 1 else (23, dimensions)
    labels = 4 * torch.rand(shape, generator=generator) ** 2
    return labels + torch.randn(shape, generator=generator), labels


def collection(dimensions: int) -> MetricCollection:
    """With two label dimensions that of gaze, which adds the angle."""
    return (shot_metrics if dimensions == 1 else gaze_metrics)(density(dimensions))


def run_rank(rank: int, rendezvous: str, results: str, dimensions: int, first: int) -> None:
    """Rank 0 sees the samples before ``first``, rank 1 the others, each in batches of 4."""
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORLD)
    try:
        predictions, labels = samples(dimensions)
        start, stop = (0, first) if rank == 0 else (first, len(labels))
        metrics = collection(dimensions)
        for row in range(start, stop, 4):
            rows = slice(row, min(row + 4, stop))
            metrics.update(predictions[rows], labels[rows])
        found = {name: value.item() for name, value in metrics.compute().items()}
        Path(results, f"{rank}.json").write_text(json.dumps(found))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(("dimensions", "first"), [(1, 5), (2, 16), (1, 23)], ids=["unequal", "two-dims", "empty-rank"])
def test_two_processes_give_the_numbers_of_one(dimensions: int, first: int, tmp_path: Path) -> None:
    metrics = collection(dimensions)
    metrics.update(*samples(dimensions))
    expected = {name: value.item() for name, value in metrics.compute().items()}
    assert expected.keys() >= regression_metrics(*samples(dimensions), density(dimensions)).keys()
    assert all(expected[f"count_{region}"] >= 2 for region in ("many", "median", "few"))
    spawn = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path / "rendezvous"), str(tmp_path), dimensions, first)
    processes = [spawn.Process(target=run_rank, args=(rank, *arguments), daemon=True) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    for rank in range(WORLD):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)
