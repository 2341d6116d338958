from pathlib import Path

import pytest
import torch
from tests.distributed.processes import run_processes
from torch import Tensor
from torchmetrics import MetricCollection

from conr.density import Bins, LabelDensity
from conr.metrics import gaze_metrics, regression_metrics, shot_metrics

CASES = [(1, 5), (2, 16), (1, 23)]  # label dimensions, and samples of the first process


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


def run_rank(rank: int) -> list[dict[str, float]]:
    """Rank 0 sees the samples before the first number of each case, rank 1 the others, each in batches of 4."""
    found = []
    for dimensions, first in CASES:
        predictions, labels = samples(dimensions)
        start, stop = (0, first) if rank == 0 else (first, len(labels))
        metrics = collection(dimensions)
        for row in range(start, stop, 4):
            rows = slice(row, min(row + 4, stop))
            metrics.update(predictions[rows], labels[rows])
        found.append({name: value.item() for name, value in metrics.compute().items()})
    return found


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    """Parts of unequal size, two label dimensions, and a process without samples."""
    both = run_processes(run_rank, 2, tmp_path)
    for number, (dimensions, _) in enumerate(CASES):
        metrics = collection(dimensions)
        metrics.update(*samples(dimensions))
        expected = {name: value.item() for name, value in metrics.compute().items()}
        assert expected.keys() >= regression_metrics(*samples(dimensions), density(dimensions)).keys()
        assert all(expected[f"count_{region}"] >= 2 for region in ("many", "median", "few"))
        for found in both:
            assert found[number] == pytest.approx(expected, rel=1e-9, nan_ok=True)
