import math
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.depth_metrics import depth_metrics as oracle
from torch import Tensor
from torchmetrics.utilities import dim_zero_sum

from conr.density import REGIONS, Bins, LabelDensity
from conr.metrics import DEPTH_METRICS, DepthMetric, depth_metrics

SHOTS = ["few", "many", "many", "median", "few", "few", "few", "few", "few", "few"]  # 1 m each
WORLD = 2


def density() -> LabelDensity:
    counts = torch.tensor([1, 90, 80, 30, 5, 4, 3, 2, 1, 1])
    bins = Bins.by_width(width=1, low=0, high=10, clamp=True)
    return LabelDensity(fixed_regions=SHOTS).fit_counts(counts, bins)


def maps(seed: int, n: int = 6, missing: float = 0.3, farthest: float = 10.0) -> tuple[Tensor, Tensor]:
    """Depths in centimetres from 1 cm to ``farthest``; predictions of which some are zero or negative."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(1, int(100 * farthest) + 1, (n, 1, 3, 4), generator=generator) / 100
    predictions = labels * (1 + 0.5 * torch.randn(labels.shape, generator=generator))
    return predictions, labels.masked_fill(torch.rand(labels.shape, generator=generator) < missing, math.nan)


def expected(predictions: Tensor, labels: Tensor) -> dict[str, float]:
    pixels = [
        (prediction, label, min(int(label), 9))
        for prediction, label in zip(predictions.flatten().tolist(), labels.flatten().tolist(), strict=True)
        if not math.isnan(label)
    ]
    values = oracle(pixels)
    for region in REGIONS:
        part = oracle([pixel for pixel in pixels if SHOTS[pixel[2]] == region])
        values |= {f"{name}_{region}": value for name, value in part.items()}
    return values


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(1, 6),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    far=st.sampled_from([2, 10]),
)
def test_equals_the_loop_over_pixels_however_it_is_batched(seed: int, size: int, missing: float, far: int) -> None:
    predictions, labels = maps(seed, missing=missing, farthest=far)
    metrics = depth_metrics(density())
    for start in range(0, 6, size):
        metrics.update(predictions[start : start + size], labels[start : start + size])
    found = {name: value.item() for name, value in metrics.compute().items()}
    assert set(found) == {f"{name}{end}" for name in DEPTH_METRICS for end in ("", *(f"_{one}" for one in REGIONS))}
    assert found == pytest.approx(expected(predictions, labels), rel=1e-9, nan_ok=True)


def test_equally_many_pixels_per_bin_make_the_balanced_error_the_error() -> None:
    labels = (torch.arange(10.0) + 0.5).view(1, 1, 2, 5)
    metrics = depth_metrics(density(), prefix="val/")
    metrics.update(labels + torch.linspace(-1, 1, 10).view(1, 1, 2, 5), labels)
    values = metrics.compute()
    assert values["val/brmse"].item() == pytest.approx(values["val/rmse"].item())


def test_sums_of_two_parts_are_those_of_the_whole() -> None:
    """What the reduction over processes relies on; `test_two_processes_give_the_numbers_of_one` does it for real."""
    predictions, labels = maps(2)
    whole, first, second = (DepthMetric(density()) for _ in range(3))
    whole.update(predictions, labels)
    first.update(predictions[:2], labels[:2])
    second.update(predictions[2:], labels[2:])
    torch.testing.assert_close(first.sums + second.sums, whole.sums)
    assert (whole._reductions["sums"], whole.sums.dtype) == (dim_zero_sum, torch.float64)


def test_half_precision_predictions_are_summed_in_double() -> None:
    labels = torch.full((1, 1, 100, 100), 8.0)
    metrics = depth_metrics(density())
    metrics.update((labels + 0.125).half(), labels)
    assert metrics.compute()["rmse"].item() == 0.125


def test_an_update_reads_no_value() -> None:
    metrics = depth_metrics(density()).to("meta")  # a meta tensor has none: a step that reads one raises
    metrics.update(*(dense.to("meta") for dense in maps(0)))


@pytest.mark.parametrize(
    ("predictions", "labels", "error", "message"),
    [
        (torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 5), ValueError, r"predictions: expected shape \(2, c, 3, 5\)"),
        (torch.zeros(2, 2, 3, 4), torch.zeros(2, 2, 3, 4), ValueError, r"labels: expected shape \(n, 1, h, w\), got"),
        (torch.zeros(2), torch.zeros(2), ValueError, r"labels: expected shape \(n, k, h, w\), got \(2,\)"),
        (torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4).long(), TypeError, "labels: expected a floating-point"),
    ],
)
def test_wrong_maps(predictions: Tensor, labels: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        depth_metrics(density()).update(predictions, labels)


def test_a_density_that_is_not_fitted() -> None:
    with pytest.raises(RuntimeError, match="call fit"):
        depth_metrics(LabelDensity())


def run_rank(rank: int, rendezvous: str, results: str) -> None:
    """Rank 0 sees the first 2 images, rank 1 the other 5, each in batches of 2."""
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORLD)
    try:
        predictions, labels = maps(1, n=7)
        start, stop = (0, 2) if rank == 0 else (2, len(labels))
        metrics = depth_metrics(density())
        for row in range(start, stop, 2):
            rows = slice(row, min(row + 2, stop))
            metrics.update(predictions[rows], labels[rows])
        torch.save(metrics.compute(), Path(results, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path / "rendezvous"), str(tmp_path))
    processes = [spawn.Process(target=run_rank, args=(rank, *arguments), daemon=True) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0
    for rank in range(WORLD):
        found: dict[str, Any] = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        numbers = {name: value.item() for name, value in found.items()}
        assert numbers == pytest.approx(expected(*maps(1, n=7)), rel=1e-9, nan_ok=True)
