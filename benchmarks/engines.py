"""Time and peak memory of ConR's engines, over batch size, feature size and share of pairs within the window.

Run ``python -m benchmarks.engines NAME`` for one result file ``benchmarks/results/engines_NAME.json``; NAME is a batch
size of the grid, ``scaling`` (a constant number of neighbours per sample), ``planes`` (labels of two dimensions) or
``candidates`` (a small batch against a large memory). A name takes one to four minutes.
``python -m benchmarks.engines_page`` then puts the numbers into ``docs/engines.md``.

Beside the engines run the plain forms of `benchmarks.plain_conr`, and what a user would otherwise pick: SupConLoss of
pytorch-metric-learning (extra ``bench``) on labels that are cut into classes, as many as make the same share of pairs.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor

from benchmarks.plain_conr import plain_conr, vectorised_conr
from benchmarks.timing import OtherWork, environment, interleaved, milliseconds, once, peak_extra_bytes, write_results
from conr import conr_loss
from conr.pairwise import Rule, Samples, choose_engine

SIZES = (128, 512, 1024, 2048, 8192, 16384, 32768, 65536)
FEATURES = (128, 512, 2048)
SHARES = (0.01, 0.05, 0.2)
MAIN_SHARE = 0.05
LARGE = 8192
"""From here on, forms that compute all pairs are measured at the main share and with the fewest features only."""
NEIGHBOURS = 200
RECTANGLES = ((128, 8192), (512, 512), (512, 2048), (1024, 4096))
SETTINGS: dict[str, Any] = {"temperature": 0.07, "distance_scale": 0.1}
ENGINES = ("dense", "blockwise", "windowed")
SQUARE = ("plain", "vectorised", "supcon", "dense")  # hold n x n numbers

DISTURBED = 0.15
"""Share of the processors from which on other programs spoil a measurement; a short one is then made again."""

SLOW_SECONDS = 4.0
"""Forms that take longer run twice, after one run that does not count; the others in turn, five times or more."""

MOST_BYTES = 8e9
MOST_SECONDS = 10.0  # on two cores without other work

Form = Callable[[], Tensor]


class Point(NamedTuple):
    """One point of the grid."""

    n: int
    d: int
    k: int
    share: float  # of pairs whose labels are within the window
    others: int = 0  # candidates that are no anchors


class Batch(NamedTuple):
    """Inputs of a loss."""

    features: Tensor
    labels: Tensor
    predictions: Tensor
    weights: Tensor
    window: float
    candidates: Samples | None


def batch(point: Point) -> Batch:
    """Labels uniform in a unit interval or square, predictions off by a tenth, and a window that the share fits."""
    generator = torch.Generator().manual_seed(0)
    n, m = point.n, point.n + point.others
    labels = torch.rand(m, point.k, generator=generator)
    predictions = labels + 0.1 * torch.randn(m, point.k, generator=generator)
    features = torch.randn(m, point.d, generator=generator)
    weights = 0.5 + torch.rand(n, generator=generator)
    # Two uniform numbers are within w of each other with probability 2 w - w^2; two points of the unit square with
    # about pi w^2.
    window = 1 - math.sqrt(1 - point.share) if point.k == 1 else math.sqrt(point.share / math.pi)
    candidates = Samples(features[n:], labels[n:], predictions[n:]) if point.others else None
    own = features[:n].clone().requires_grad_()
    return Batch(own, labels[:n].squeeze(1), predictions[:n].squeeze(1), weights, window, candidates)


def forms(point: Point, given: Batch) -> dict[str, Form]:
    """Every way to compute the loss of a batch."""
    positional, settings = given[:4], {**SETTINGS, "window": given.window}
    found: dict[str, Form] = {}
    if point.k == 1 and not point.others:
        found["plain"] = partial(plain_conr, *positional, **settings)
    if not point.others:
        found["vectorised"] = partial(vectorised_conr, *positional, **settings)
    if point.k == 1 and not point.others:
        classes = (given.labels / point.share).long()  # (n,)
        found["supcon"] = partial(SupConLoss(temperature=SETTINGS["temperature"]), given.features, classes)
    for engine in ENGINES[: 3 if point.k == 1 else 2]:
        found[engine] = partial(
            conr_loss,
            *given[:3],
            weights=given.weights,
            engine=engine,
            candidates=given.candidates,
            **settings,
        )
    return found


def expected_bytes(name: str, point: Point) -> float:
    """About what a form holds at its peak."""
    matrices = {"plain": 12, "vectorised": 12, "supcon": 12, "dense": 6}.get(name, 0)
    return 4.0 * (matrices * point.n * (point.n + point.others) + 6 * point.n * point.d)


def expected_seconds(name: str, point: Point) -> float:
    """About what a form takes on two cores: matrix products, and passes over the similarities."""
    visited, passes = (1.0, 20e-9) if name in SQUARE else (min(0.5, 1.2 * point.share), 3e-9)
    return visited * point.n * (point.n + point.others) * (passes + 8 * point.d / 2e11)


def measure(point: Point) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One case of the result file, and the forms that were left out."""
    given = batch(point)
    every = forms(point, given)
    skipped = []
    for name in list(every):
        if name in SQUARE and point.n >= LARGE and (point.share, point.d) != (MAIN_SHARE, min(FEATURES)):
            reason = "computes all pairs: measured at this size with few features and one share of pairs only"
        elif expected_bytes(name, point) > MOST_BYTES:
            reason = f"needs about {expected_bytes(name, point) / 1e9:.0f} GB"
        elif expected_seconds(name, point) > MOST_SECONDS:
            reason = f"takes about {expected_seconds(name, point):.0f} s"
        else:
            continue
        del every[name]
        skipped.append({**point._asdict(), "form": name, "reason": reason})
    if not every:
        return {"times": {}}, skipped
    slow = {name: form for name, form in every.items() if expected_seconds(name, point) >= SLOW_SECONDS}
    fast = {name: form for name, form in every.items() if name not in slow}
    times = interleaved(fast, seconds=1.0, runs=7 if point.n < LARGE else 5, warmups=2) if fast else {}
    times |= interleaved(slow, seconds=0, runs=2, warmups=1) if slow else {}
    memory = {name: peak_extra_bytes(form) for name, form in every.items()}
    batch_of = Samples(given.features, *(one.reshape(point.n, -1) for one in given[1:3]))
    rule = Rule(given.window, "l2", SETTINGS["distance_scale"], "exp", SETTINGS["temperature"])
    chosen = choose_engine(batch_of, given.candidates, rule)
    case = {**point._asdict(), **SETTINGS, "window": given.window, "times": times, "peak_extra_bytes": memory}
    if chosen in times:
        case |= {"auto": chosen, "auto_over_best": auto_over_best(times, chosen)}
    return case, skipped


def measured_alone(point: Point) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """`measure`, again if other programs were at work meanwhile; the share of the processors that they took."""
    for _ in range(2):
        others = OtherWork()
        case, skipped = measure(point)
        case["others_share"] = round(others.share(), 3)
        if case["others_share"] < DISTURBED or point.n >= LARGE:
            break
        print("other programs took", case["others_share"], "of the processors", flush=True)
    return case, skipped


def auto_over_best(times: dict[str, Any], chosen: str) -> float:
    """How much slower the engine that "auto" takes is than the fastest, in `milliseconds`."""
    full = {name: milliseconds(times[name]["full"], torch.get_num_threads()) for name in ENGINES if name in times}
    return float(full[chosen] / min(full.values()))


def points(name: str) -> Iterator[Point]:
    """The points of a result file."""
    if name == "scaling":
        yield from (Point(n, 128, 1, NEIGHBOURS / n) for n in SIZES if n >= 8192)
    elif name == "planes":
        yield from (Point(n, 128, 2, share) for n in (512, 2048, 8192) for share in SHARES)
    elif name == "candidates":
        yield from (Point(n, d, 1, 0.05, others) for n, others in RECTANGLES for d in FEATURES[:2])
    else:
        n = int(name)
        yield from (Point(n, d, 1, share) for d in FEATURES for share in SHARES)


def exponents(cases: list[dict[str, Any]]) -> dict[str, float]:
    """Exponent of n in the time of each engine, fitted over the cases."""
    found = {}
    for engine in ("blockwise", "windowed"):
        measured = [
            (case["n"], milliseconds(case["times"][engine]["full"], torch.get_num_threads()))
            for case in cases
            if engine in case["times"]
        ]
        n, times = np.log(np.array(measured, dtype=float)).T
        found[engine] = float(np.polyfit(n, times, 1)[0])
    return found


def main() -> None:
    """Measure the points of a name, print a line each, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*map(str, SIZES), "scaling", "planes", "candidates"])
    parser.add_argument("--threads", type=int, help="of torch; default: as torch chooses")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    ran_on: dict[str, Any] = environment()
    cases: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    small = Point(256, 128, 1, MAIN_SHARE)
    once(forms(small, batch(small)))  # what libraries set up on first use does not count
    for point in points(arguments.name):
        case, left_out = measured_alone(point)
        skipped += left_out
        if case["times"]:
            cases.append(case)
            threads = torch.get_num_threads()
            full = {name: f"{milliseconds(times['full'], threads):.1f}" for name, times in case["times"].items()}
            megabytes = {name: round(size / 1e6) for name, size in case["peak_extra_bytes"].items()}
            print(*point, full, "ms;", megabytes, "MB", flush=True)
            write_results(f"engines_{arguments.name}", cases, ran_on=ran_on, skipped=skipped)  # as it may be stopped
    if arguments.name == "scaling":
        ran_on |= {"neighbours": NEIGHBOURS, "exponents": exponents(cases)}
    print(write_results(f"engines_{arguments.name}", cases, ran_on=ran_on, skipped=skipped))


if __name__ == "__main__":
    main()
