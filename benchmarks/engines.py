"""Time and peak memory of ConR's engines, over batch size, feature size and share of pairs within the window.

Run ``python -m benchmarks.engines NAME`` for one result file ``benchmarks/results/engines_NAME.json``; NAME is a batch
size of the grid, ``scaling`` (a constant number of neighbours per sample) or ``planes`` (labels of two dimensions). A
name takes minutes. ``python -m benchmarks.engines_page`` then puts the numbers into ``docs/engines.md``.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.plain_conr import plain_conr, vectorised_conr
from benchmarks.timing import environment, interleaved, peak_extra_bytes, write_results
from conr import conr_loss
from conr.pairwise import Rule, Samples, choose_engine

SIZES = (128, 512, 1024, 2048, 8192, 32768, 65536)
FEATURES = (128, 512, 2048)
SHARES = (0.01, 0.05, 0.2)
NEIGHBOURS = 200
SETTINGS: dict[str, Any] = {"temperature": 0.07, "distance_scale": 0.1}
ENGINES = ("dense", "blockwise", "windowed")
SQUARE = ("plain", "vectorised", "dense")  # hold n x n numbers

MOST_BYTES = 8e9
MOST_SECONDS = 30.0  # on two cores without other work

Form = Callable[[], Tensor]


class Point(NamedTuple):
    """One point of the grid."""

    n: int
    d: int
    k: int
    share: float  # of pairs whose labels are within the window


class Batch(NamedTuple):
    """Inputs of a loss."""

    features: Tensor
    labels: Tensor
    predictions: Tensor
    weights: Tensor
    window: float


def batch(point: Point) -> Batch:
    """Labels uniform in a unit interval or square, predictions off by a tenth, and a window that the share fits."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(point.n, point.k, generator=generator)
    predictions = labels + 0.1 * torch.randn(point.n, point.k, generator=generator)
    features = torch.randn(point.n, point.d, generator=generator).requires_grad_()
    # Two uniform numbers are within w of each other with probability 2 w - w^2; two points of the unit square with
    # about pi w^2.
    window = 1 - math.sqrt(1 - point.share) if point.k == 1 else math.sqrt(point.share / math.pi)
    return Batch(features, labels.squeeze(1), predictions.squeeze(1), 0.5 + torch.rand(point.n), window)


def forms(point: Point, given: Batch) -> dict[str, Form]:
    """Every way to compute the loss of a batch."""
    positional, settings = given[:4], {**SETTINGS, "window": given.window}
    found: dict[str, Form] = {"vectorised": partial(vectorised_conr, *positional, **settings)}
    if point.k == 1:
        found["plain"] = partial(plain_conr, *positional, **settings)
    for engine in ENGINES[: 3 if point.k == 1 else 2]:
        found[engine] = partial(conr_loss, *given[:3], weights=given.weights, engine=engine, **settings)
    return found


def expected_bytes(name: str, point: Point) -> float:
    """About what a form holds at its peak."""
    matrices = {"plain": 12, "vectorised": 12, "dense": 6}.get(name, 0)
    return 4.0 * (matrices * point.n**2 + 6 * point.n * point.d)


def expected_seconds(name: str, point: Point) -> float:
    """About what a form takes on two cores: matrix products, and passes over the similarities."""
    visits = point.n**2 * (1.0 if name in SQUARE else min(0.5, 1.2 * point.share))
    return visits * (30e-9 + 8 * point.d / 1.2e11)


def measure(point: Point) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One case of the result file, and the forms that were left out."""
    given = batch(point)
    every = forms(point, given)
    skipped = []
    for name in list(every):
        if expected_bytes(name, point) > MOST_BYTES:
            reason = f"needs about {expected_bytes(name, point) / 1e9:.0f} GB"
        elif expected_seconds(name, point) > MOST_SECONDS:
            reason = f"takes about {expected_seconds(name, point):.0f} s"
        else:
            continue
        del every[name]
        skipped.append({**point._asdict(), "form": name, "reason": reason})
    slowest = max((expected_seconds(name, point) for name in every), default=0.0)
    runs = 9 if slowest < 0.2 else 3 if slowest < 2 else 1
    times = interleaved(every, seconds=1.0, runs=runs, warmups=min(runs - 1, 2))
    memory = {name: peak_extra_bytes(form) for name, form in every.items()}
    chosen = choose_engine(
        Samples(given.features, given.labels.reshape(point.n, -1), given.predictions.reshape(point.n, -1)),
        None,
        Rule(given.window, "l2", SETTINGS["distance_scale"], "exp", SETTINGS["temperature"]),
    )
    case = {**point._asdict(), **SETTINGS, "window": given.window, "times": times, "peak_extra_bytes": memory}
    if chosen in times:
        case |= {"auto": chosen, "auto_over_best": auto_over_best(times, chosen)}
    return case, skipped


def auto_over_best(times: dict[str, Any], chosen: str) -> float:
    """How much slower the engine that "auto" takes is than the fastest, by the processors' time."""
    cpu = {engine: times[engine]["full"]["cpu_ms"] for engine in ENGINES if engine in times}
    return float(cpu[chosen] / min(cpu.values()))


def points(name: str) -> Iterator[Point]:
    """The points of a result file."""
    if name == "scaling":
        yield from (Point(n, 128, 1, NEIGHBOURS / n) for n in SIZES if n >= 8192)
    elif name == "planes":
        yield from (Point(n, 128, 2, share) for n in (512, 2048, 8192) for share in SHARES)
    else:
        yield from (Point(int(name), d, 1, share) for d in FEATURES for share in SHARES)


def exponents(cases: list[dict[str, Any]]) -> dict[str, float]:
    """Exponent of n in the time of each engine, fitted over the cases."""
    found = {}
    for engine in ("blockwise", "windowed"):
        measured = [(case["n"], case["times"][engine]["full"]["cpu_ms"]) for case in cases if engine in case["times"]]
        n, milliseconds = np.log(np.array(measured, dtype=float)).T
        found[engine] = float(np.polyfit(n, milliseconds, 1)[0])
    return found


def main() -> None:
    """Measure the points of a name, print a line each, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*map(str, SIZES), "scaling", "planes"])
    parser.add_argument("--threads", type=int, help="of torch; default: as torch chooses")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    ran_on, cases, skipped = environment(), [], []
    for point in points(arguments.name):
        case, left_out = measure(point)
        skipped += left_out
        if case["times"]:
            cases.append(case)
            full = {name: f"{times['full']['median_ms']:.1f}" for name, times in case["times"].items()}
            megabytes = {name: round(size / 1e6) for name, size in case["peak_extra_bytes"].items()}
            print(*point, full, "ms;", megabytes, "MB", flush=True)
    if arguments.name == "scaling":
        ran_on |= {"neighbours": NEIGHBOURS, "exponents": exponents(cases)}
    print(write_results(f"engines_{arguments.name}", cases, ran_on=ran_on, skipped=skipped))


if __name__ == "__main__":
    main()
