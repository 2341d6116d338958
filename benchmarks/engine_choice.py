"""What ``engine="auto"`` chooses on a CPU against what is faster: ``python -m benchmarks.engine_choice``.

Batches around the size where tiles begin to pay: squares and rectangles (a memory of more candidates), one and two
label dimensions, few and many pairs, and predictions that all agree. The constants of `conr.pairwise.engines` are those
with the fewest points over 15 % in the result file ``benchmarks/results/engine_choice.json``. A run of some minutes is
one round; each further run adds one.
"""

import json
from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.engines import SETTINGS, Batch, Point, batch
from benchmarks.engines_page import over_best
from benchmarks.timing import RESULTS, environment, interleaved, write_results
from conr import conr_loss
from conr.pairwise import Rule, Samples
from conr.pairwise.engines import tile_counts

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
    for n in (512, 724, 1024, 1448, 2048):
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
    in_tiles, kept = tile_counts(samples, given.candidates, rule)
    times = interleaved({engine: partial(loss, given, engine) for engine in ("dense", tiled)}, seconds=0.5)
    dense_ms, tiled_ms = (times[engine]["full"]["median_ms"] for engine in ("dense", tiled))
    return {
        **point._asdict(),
        "crowd": choice.crowd,
        "tile_similarities": in_tiles,
        "kept": kept,
        "tiled": tiled,
        "rounds": [(dense_ms, tiled_ms)],
        "dense_ms": dense_ms,
        "tiled_ms": tiled_ms,
    }


def main() -> None:
    """Measure all points once, and write the result file: with the rounds that it holds of the same commit, if any."""
    ran_on = environment()
    file = RESULTS / "engine_choice.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    cases = [measure(choice) for choice in choices()]
    if before.get("commit") == ran_on["commit"]:
        cases = [_joined(*two) for two in zip(before["cases"], cases, strict=True)]
    print(f"worst {max(map(over_best, cases)):.2f}:", write_results("engine_choice", cases, ran_on=ran_on))


def _joined(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A case of all rounds: every time, and the medians."""
    rounds = [*before["rounds"], *now["rounds"]]
    dense, tiled = (median(times) for times in zip(*rounds, strict=True))
    return {**now, "rounds": rounds, "dense_ms": dense, "tiled_ms": tiled}


if __name__ == "__main__":
    main()
