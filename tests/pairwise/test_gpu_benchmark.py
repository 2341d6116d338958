"""What the GPU benchmark says and counts where there is no GPU."""

import pytest
import torch
from benchmarks import gpu_engines

from conr.pairwise.triton_engine import Tiles


def test_without_a_gpu_the_benchmark_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"expected a CUDA GPU, torch .* sees none; on a CPU run"):
        gpu_engines.main([])


def test_it_counts_the_products_that_the_kernels_make() -> None:
    point = gpu_engines.Point(1000, 512, 0.05)
    samples, rule = gpu_engines.batch(point, "cpu")
    tiles = Tiles(16, 16, 16, 16, warps=1, stages=1)
    visited = gpu_engines.visits(samples, rule, tiles)
    between = (samples.labels - samples.labels.T).abs(), (samples.predictions - samples.predictions.T).abs()
    pairs = sum(int((distances <= rule.window).sum()) for distances in between)
    assert pairs < visited < 1.7 * pairs
    everything = rule._replace(window=100.0)
    forward, backward = gpu_engines.visits(samples, everything, tiles), 2 * 1008**2
    assert forward == backward
    # At 512 features a program of the backward kernel has 256, in bfloat16: similarities twice, gradients once.
    padded = 2 * 1024**2
    assert gpu_engines.operations("triton", point, samples, everything, "medium") == 2 * 512 * 4 * padded
    assert gpu_engines.operations("dense", point, samples, everything, "medium") == 4 * 512 * 1000**2


def test_cards_are_known_by_name() -> None:
    assert gpu_engines.peak_of("NVIDIA H100 80GB HBM3", "high") == 494.7
    assert gpu_engines.peak_of("NVIDIA H100 PCIe", "high") == 378.0
    assert gpu_engines.peak_of("Another card", "high") is None
