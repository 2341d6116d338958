"""Time, memory and share of a GPU's peak of ConR's engines: ``python -m benchmarks.gpu_engines`` on a CUDA GPU.

Writes ``benchmarks/results/gpu_engines.json``. Every point of n, d and share of pairs is timed at each precision of
``torch.set_float32_matmul_precision``: dense, blockwise and triton in turn, forward and backward by events of the GPU.
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import environment, write_results
from conr import conr_loss
from conr.pairwise import Rule, Samples
from conr.pairwise.triton_engine import Tiles, has_room
from conr.pairwise.triton_tiles import side, walk

SIZES = (4096, 8192, 16384, 32768, 65536, 131072)
FEATURES = (128, 512)
SHARES = (0.01, 0.05, 0.2)
PRECISIONS = {"highest": "tf32x3", "high": "tf32", "medium": "bf16"}
"""Torch's words for the precision of float32, and what the Triton engine makes of them."""

PEAKS = {
    "H200": {"highest": 494.7 / 3, "high": 494.7, "medium": 989.4},
    "H100 PCIe": {"highest": 378.0 / 3, "high": 378.0, "medium": 756.0},
    "H100": {"highest": 494.7 / 3, "high": 494.7, "medium": 989.4},
    "A100": {"highest": 156.0 / 3, "high": 156.0, "medium": 312.0},
}
"""TFLOP/s of dense matrix products, from NVIDIA's data sheets; "highest" is three products of TF32."""

RULE = Rule(window=1.0, distance="l2", distance_scale=0.1, push="exp", temperature=0.07)

Form = Callable[[], Tensor]


class Point(NamedTuple):
    """One point of the grid."""

    n: int
    d: int
    share: float  # of pairs whose labels are within the window


def batch(point: Point, device: str) -> tuple[Samples, Rule]:
    """Labels uniform between 0 and 1, predictions off by a tenth, and a window that the share fits."""
    generator = torch.Generator(device).manual_seed(0)
    labels = torch.rand(point.n, 1, generator=generator, device=device)
    predictions = labels + 0.1 * torch.randn(point.n, 1, generator=generator, device=device)
    features = torch.randn(point.n, point.d, generator=generator, device=device)
    return Samples(features, labels, predictions), RULE._replace(window=1 - math.sqrt(1 - point.share))


def visits(samples: Samples, rule: Rule, tiles: Tiles) -> float:
    """How many similarities one kernel for positives and one for negatives compute."""
    found = 0
    for positives in (True, False):
        ordered = side(rule.prepare(samples), rule, positives=positives)
        ranges = walk(ordered, ordered, block_rows=tiles.rows, block_columns=tiles.columns)
        found += int((ranges.lasts - ranges.firsts).clamp(min=0).sum())
    return float(found * tiles.rows * tiles.columns)


def operations(form: str, point: Point, samples: Samples, rule: Rule, precision: str) -> float:
    """Multiplications and additions that the matrix products of a form make, forward and backward."""
    n, d = point.n, point.d
    if form != "triton":  # dense: one product each way; blockwise: half of three, and of one again
        return 2 * 2.0 * n**2 * d
    forward, backward = (
        Tiles.fitting(d, PRECISIONS[precision], "l2", backward=backward, roomy=has_room(samples.features.device))
        for backward in (False, True)
    )
    chunks = math.ceil(d / backward.width)  # each computes the similarities again
    return 2 * d * (visits(samples, rule, forward) + (chunks + 1) * visits(samples, rule, backward))


def milliseconds(form: Form) -> tuple[float, float]:
    """Of forward and of backward, by the GPU's clock."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]  # type: ignore[no-untyped-call]
    events[0].record()
    loss = form()
    events[1].record()
    loss.backward()  # type: ignore[no-untyped-call]
    events[2].record()
    torch.cuda.synchronize()
    return events[0].elapsed_time(events[1]), events[1].elapsed_time(events[2])


def peak_extra_bytes(form: Form) -> int:
    """Most memory that forward and backward of a form hold beyond the inputs."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    milliseconds(form)
    return torch.cuda.max_memory_allocated() - before


def measure(point: Point, precision: str, peak: float | None, runs: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One case of the result file, and the forms that were left out."""
    torch.set_float32_matmul_precision(precision)
    samples, rule = batch(point, "cuda")
    features = samples.features.requires_grad_()
    names, skipped = ["dense", "blockwise", "triton"], []
    needed = 6 * 4.0 * point.n**2
    if needed > torch.cuda.mem_get_info()[0]:
        names.remove("dense")
        skipped.append(
            {**point._asdict(), "precision": precision, "form": "dense", "reason": f"needs about {needed / 1e9:.0f} GB"}
        )
    forms = {name: partial(conr_loss, *samples, **rule._asdict(), engine=name) for name in names}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for run in range(runs + 2):
        for name, form in forms.items():
            features.grad = None
            times = milliseconds(form)
            if run > 1:
                found[name].append(times)
    results = {}
    for name, form in forms.items():
        features.grad = None
        low, median, high = np.quantile([sum(times) for times in found[name]], (0.2, 0.5, 0.8))
        rate = operations(name, point, samples, rule, precision) / (1e9 * median)  # TFLOP/s
        results[name] = {
            "forward_ms": float(np.median([forward for forward, _ in found[name]])),
            "backward_ms": float(np.median([backward for _, backward in found[name]])),
            "full": {"median_ms": float(median), "q20_ms": float(low), "q80_ms": float(high), "runs": runs},
            "peak_extra_bytes": peak_extra_bytes(form),
            "tflops": float(rate),
            "share_of_peak": None if peak is None else float(rate / peak),
        }
    return {**point._asdict(), "window": rule.window, "precision": precision, "engines": results}, skipped


def peak_of(card: str, precision: str) -> float | None:
    """TFLOP/s that a card can reach, if its name is known."""
    return next((peaks[precision] for name, peaks in PEAKS.items() if name in card), None)


def main(given: list[str] | None = None) -> None:
    """Measure all points, print a line each, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N")
    parser.add_argument("--runs", type=int, default=10, help="timed runs of each engine at each point")
    parser.add_argument("--name", default="gpu_engines", help="of the result file")
    arguments = parser.parse_args(given)
    if not torch.cuda.is_available():
        raise SystemExit(
            f"benchmarks.gpu_engines: expected a CUDA GPU, torch {torch.__version__} sees none; "
            "on a CPU run python -m benchmarks.engines"
        )
    card = torch.cuda.get_device_name()
    ran_on = environment() | {
        "device": card,
        "capability": list(torch.cuda.get_device_capability()),
        "peak_tflops": {precision: peak_of(card, precision) for precision in PRECISIONS},
    }
    ran_on["versions"]["triton"] = __import__("triton").__version__
    cases, skipped = [], []
    for n, d, share, precision in product(arguments.sizes, FEATURES, SHARES, PRECISIONS):
        case, left_out = measure(Point(n, d, share), precision, peak_of(card, precision), arguments.runs)
        cases.append(case)
        skipped += left_out
        full = {name: f"{engine['full']['median_ms']:.2f} ms" for name, engine in case["engines"].items()}
        print(n, d, share, precision, full, f"{case['engines']['triton']['tflops']:.0f} TFLOP/s", flush=True)
    print(write_results(arguments.name, cases, ran_on=ran_on, skipped=skipped))


if __name__ == "__main__":
    main()
