"""What ``engine="auto"`` chooses on a CPU against what is faster: ``python -m benchmarks.engine_choice``, two minutes.

Batches around the size where tiles begin to pay: squares and rectangles (a memory of more candidates), one and two
label dimensions, few and many pairs, and predictions that all agree. The constants of `conr.pairwise.engines` are those
with the fewest points over 15 % in the result file ``benchmarks/results/engine_choice.json``.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.engines import SETTINGS, Batch, Point, batch
from benchmarks.engines_page import over_best
from benchmarks.timing import environment, write_results
from conr import conr_loss
from conr.pairwise import Rule, Samples
from conr.pairwise.engines import tile_similarities

RECTANGLES = (
    *((64, 512), (64, 4096), (128, 512), (128, 2048), (128, 8192), (256, 256), (256, 1024), (256, 2048)),
    *((512, 512), (512, 1024), (512, 2048), (1024, 1024), (1024, 4096)),
)


class Choice(NamedTuple):
    """A point, and whether all predictions agree, so that every pair may be a negative."""

    point: Point
    crowd: bool = False


def choices() -> Iterator[Choice]:
    """All points that are measured."""
    for n in (1024, 1448, 2048):
        for d in (128, 512, 2048):
            yield from (Choice(Point(n, d, 1, share)) for share in (0.01, 0.2))
            yield Choice(Point(n, d, 1, 0.05), crowd=True)
    yield from (Choice(Point(3000, 128, 1, share)) for share in (0.01, 0.2))
    yield Choice(Point(3000, 128, 1, 0.05), crowd=True)
    for n, others in RECTANGLES:
        for d in (128, 512, 2048):
            yield from (Choice(Point(n, d, 1, share, others)) for share in (0.01, 0.2))
            if d < 2048:
                yield Choice(Point(n, d, 1, 0.05, others), crowd=True)
    for n in (256, 512, 768, 1024, 1448, 2048):
        yield from (Choice(Point(n, d, 2, share)) for d in (128, 512) for share in (0.01, 0.05, 0.2))
    for n, others in ((128, 2048), (256, 1024), (512, 512)):
        yield from (Choice(Point(n, 128, 2, share, others)) for share in (0.01, 0.2))


def loss(given: Batch, engine: str) -> Tensor:
    """ConR of a batch by an engine."""
    return conr_loss(
        *given[:3],
        window=given.window,
        weights=given.weights,
        engine=engine,
        candidates=given.candidates,
        **SETTINGS,
    )


def median_ms(forms: list[Callable[[], Tensor]], runs: int) -> list[float]:
    """Milliseconds of forward and backward of each form; they run in turn, after one run each that does not count."""
    spans: list[list[float]] = [[] for _ in forms]
    for _ in range(runs + 1):
        for form, found in zip(forms, spans, strict=True):
            start = time.perf_counter()
            form().backward()  # type: ignore[no-untyped-call]
            found.append(1e3 * (time.perf_counter() - start))
    return [float(np.median(found[1:])) for found in spans]


def measure(choice: Choice) -> dict[str, Any]:
    """One case of the result file."""
    point, given = choice.point, batch(choice.point)
    if choice.crowd:
        candidates = given.candidates
        if candidates is not None:
            candidates = candidates._replace(predictions=torch.zeros_like(candidates.predictions))
        given = given._replace(predictions=torch.zeros_like(given.predictions), candidates=candidates)
    samples = Samples(given.features, *(one.reshape(point.n, -1) for one in given[1:3]))
    rule = Rule(given.window, "l2", SETTINGS["distance_scale"], "exp", SETTINGS["temperature"])
    tiled = "windowed" if point.k == 1 else "blockwise"
    runs = 7 if point.n * (point.n + point.others) > 3e6 else 15
    dense_ms, tiled_ms = median_ms([partial(loss, given, engine) for engine in ("dense", tiled)], runs)
    return {
        **point._asdict(),
        "crowd": choice.crowd,
        "tile_similarities": tile_similarities(samples, given.candidates, rule),
        "tiled": tiled,
        "dense_ms": dense_ms,
        "tiled_ms": tiled_ms,
    }


def main() -> None:
    """Measure all points, print a line each, and write the result file."""
    ran_on, cases = environment(), []
    for choice in choices():
        case = measure(choice)
        cases.append(case)
        print(*choice, f"dense {case['dense_ms']:.1f}, {case['tiled']} {case['tiled_ms']:.1f} ms", flush=True)
    print(f"worst {max(map(over_best, cases)):.2f}:", write_results("engine_choice", cases, ran_on=ran_on))


if __name__ == "__main__":
    main()
