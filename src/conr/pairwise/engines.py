"""One entry to all engines, and the choice between them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from conr._checks import check_choice
from conr._compile import outside_graphs
from conr.pairwise.dense import contrast_dense
from conr.pairwise.distances import check_distance, real
from conr.pairwise.freed_memory import keep_freed_memory
from conr.pairwise.pairs import NOTHING, Contrast, Rule, Samples
from conr.pairwise.push import log_push
from conr.pairwise.recompute import contrast_recomputed, exponentials_fit
from conr.pairwise.sweeps import Cut, Sweep, box_sweep, cut, full_area, full_sweep, interval_sweep
from conr.pairwise.triton_engine import contrast_triton
from conr.pairwise.unit import unit_vectors

ENGINES = ("auto", "dense", "blockwise", "windowed", "triton")

MAX_DENSE_PAIRS = 8192**2
"""Most pairs for which "auto" computes all similarities at once on a GPU."""

LARGE_PAIRS = 2**18
"""Fewest pairs for which memory that is kept from one batch to the next saves time on a CPU."""

MAX_DENSE_BYTES = 2**25
"""Largest matrix of similarities that "auto" computes at once on a CPU: above, malloc asks the system for each one."""

DENSE_PASSES = 250
"""What all passes of the dense engine over a similarity take on a CPU, in units of a feature's part of its product."""

TILE_PASSES = 100
"""What all passes over a similarity in a tile, which stays in cache, take in the same units; twice that with
several label dimensions."""

TILE_PRODUCT = 7
"""What a feature's part of a product takes in a tile, with those of the backward pass, in the same units."""

KEPT_PRODUCT = 2
"""How much less it takes where the tile is kept for the backward pass."""

TILED_START = 70_000_000
"""What the tiled engines do besides on a CPU, in the same units, for the batch and again for other candidates."""

BLOCK = {"cpu": 64, "cuda": 2048}
"""Rows of a tile: on a CPU few, as small tiles waste less around the pairs; on a GPU enough to keep it busy."""
CAREFUL_BLOCK = 256
"""Rows of a tile on a CPU where tiles come one at a time, as exponentials may not fit."""

KEPT = 3
"""Most similarities that the windowed engine keeps for the backward pass, in multiples of the features' numbers."""


class _Plan(NamedTuple):
    """The walks of a recomputing engine."""

    sweeps: list[Sweep]
    bounded: bool  # whether exponentials fit without further care
    keepable: int  # most similarities that forward keeps for backward, of sweeps for positives or negatives only

    @property
    def area(self) -> int:
        """How many similarities the tiles hold."""
        return sum(sweep.area for sweep in self.sweeps)

    @property
    def kept(self) -> int:
        """How many of them forward keeps for backward, about."""
        return min(self.keepable, sum(sweep.area for sweep in self.sweeps if sweep.positives != sweep.negatives))


def contrast(
    samples: Samples,
    weights: Tensor,
    rule: Rule,
    *,
    engine: str = "auto",
    others: Samples | None = None,
    block: int | None = None,
) -> Contrast:
    r"""The two terms of every anchor's loss, and the sizes of its pair sets, by any engine.

    Args:
        samples: the batch: features (n, d) in float32 or float64, labels (n, k), predictions (n, k).
        weights: shape (n,), dtype of features.
        rule: what makes and weighs pairs.
        engine: ``"auto"``, ``"dense"``, ``"blockwise"``, ``"windowed"``, ``"triton"``; see `choose_engine` and
            `conr.conr_loss`.
        others: more candidates, which are no anchors.
        block: rows of a tile of the recomputing engines; chosen by device and d if None.

    Returns:
        Four tensors of shape (n,); differentiable in the features of samples and others.

    Raises:
        ImportError: ``"triton"`` without Triton.
        ValueError: an unknown engine, or one that cannot do this distance, push, label dimension or device.
    """
    check_choice("engine", engine, ENGINES)
    k = samples.labels.shape[1]
    check_distance(rule.distance, k)
    if engine == "windowed" and (k > 1 or callable(rule.distance)):
        got = "a function as distance" if callable(rule.distance) else f"k = {k}"
        raise ValueError(f"engine: 'windowed' expects one-dimensional labels and the name of a distance, got {got}")
    samples, others = _same_dtypes(samples, others)
    on_cpu = samples.features.device.type == "cpu"
    if on_cpu and _pairs(samples, others) >= LARGE_PAIRS and not torch.compiler.is_compiling():
        keep_freed_memory()
    plan = None
    if engine == "auto":
        engine, plan = _chosen(samples, others, rule, block)
    if engine == "dense":
        return _dense(samples, others, weights, rule)
    if engine == "triton":
        return _triton(samples, others, weights, rule, block=block)
    if plan is None:
        plan = _plan(samples, others, rule, windowed=engine == "windowed", block=block)
    return _recomputed(samples, others, weights, rule, plan)


def choose_engine(samples: Samples, others: Samples | None, rule: Rule) -> str:
    """The engine that "auto" takes: the fastest for this batch on this device, as far as benchmarks tell."""
    return _chosen(*_same_dtypes(samples, others), rule, block=None)[0]


def _chosen(samples: Samples, others: Samples | None, rule: Rule, block: int | None) -> tuple[str, _Plan | None]:
    """The engine, and its plan if it was needed to choose it."""
    device, pairs = samples.labels.device, _pairs(samples, others)
    if device.type != "cpu":  # intervals and boxes must be known to Python, for which a GPU would have to wait
        return ("dense" if pairs <= MAX_DENSE_PAIRS else "blockwise"), None
    windowed = samples.labels.shape[1] == 1 and not callable(rule.distance)
    tiled = "windowed" if windowed else "blockwise"
    d, k = samples.features.shape[1], samples.labels.shape[1]
    dense = dense_cost(pairs, d, samples.features.itemsize)
    if dense <= tiled_cost(0, 0, d, k, others is not None):
        return "dense", None
    plan = _plan(samples, others, rule, windowed=windowed, block=block)
    cost = tiled_cost(plan.area, plan.kept, d, k, others is not None)
    return ("dense", None) if dense <= cost else (tiled, plan)


def _pairs(samples: Samples, others: Samples | None) -> int:
    """How many similarities there are: anchors times candidates."""
    n = len(samples.labels)
    return n * (n + (0 if others is None else len(others.labels)))


def dense_cost(pairs: int, features: int, itemsize: int) -> float:
    """What the dense engine takes on a CPU, as benchmarks tell, in units of a feature's part of a product.

    Args:
        pairs: anchors times candidates.
        features: their number, d.
        itemsize: bytes of a similarity.
    """
    if pairs * itemsize > MAX_DENSE_BYTES:
        return math.inf
    return (DENSE_PASSES + features) * pairs


def tiled_cost(in_tiles: int, kept: int, features: int, dimensions: int, with_others: bool) -> float:
    """What the tiled engines take in the same units.

    Args:
        in_tiles: similarities that the tiles hold.
        kept: how many of them are kept for the backward pass.
        features: their number, d.
        dimensions: of a label, k.
        with_others: whether there are candidates beside the batch.
    """
    passes = TILE_PASSES if dimensions == 1 else 2 * TILE_PASSES
    products = TILE_PRODUCT * in_tiles - KEPT_PRODUCT * kept
    return TILED_START * (2 if with_others else 1) + passes * in_tiles + features * products


def tile_similarities(samples: Samples, others: Samples | None, rule: Rule) -> tuple[int, int]:
    """How many similarities the tiles hold that "auto" would visit on a CPU, and how many of them it keeps."""
    samples, others = _same_dtypes(samples, others)
    windowed = samples.labels.shape[1] == 1 and not callable(rule.distance)
    plan = _plan(samples, others, rule, windowed=windowed, block=None)
    return plan.area, plan.kept


def _same_dtypes(samples: Samples, others: Samples | None) -> tuple[Samples, Samples | None]:
    """Labels and predictions in the dtypes that distances are computed in; the others like the batch."""
    labels, predictions = real(samples.labels), real(samples.predictions)
    if others is None:
        return Samples(samples.features, labels, predictions), None
    labels_dtype = torch.promote_types(labels.dtype, real(others.labels).dtype)
    predictions_dtype = torch.promote_types(predictions.dtype, real(others.predictions).dtype)
    return (
        Samples(samples.features, labels.to(labels_dtype), predictions.to(predictions_dtype)),
        Samples(
            others.features.to(samples.features.dtype),
            others.labels.detach().to(labels_dtype),
            others.predictions.detach().to(predictions_dtype),
        ),
    )


def _dense(samples: Samples, others: Samples | None, weights: Tensor, rule: Rule) -> Contrast:
    dtype = samples.features.dtype
    labels, predictions = samples.labels, samples.predictions  # (m, k) each
    if others is not None:
        labels, predictions = torch.cat((labels, others.labels)), torch.cat((predictions, others.predictions))
    # In place wherever possible: on a CPU, memory that is new to the process costs more than the arithmetic; and in
    # floats that are 0 or 1, as arithmetic with bools is much slower there.
    between_labels = rule.between(samples.labels, labels)  # (n, m)
    shape = between_labels.shape
    positives = torch.le(between_labels, rule.window, out=weights.new_empty(shape))  # (n, m)
    unlike = torch.gt(between_labels, rule.window, out=weights.new_empty(shape))  # (n, m); 0 on the diagonal
    agreeing = rule.between(samples.predictions, predictions)  # (n, m)
    negatives = torch.le(agreeing, rule.window, out=weights.new_empty(shape)).mul_(unlike)  # (n, m)
    positives.fill_diagonal_(0)
    counts = positives.sum(dim=1), negatives.sum(dim=1)  # (n,), (n,)
    scaled = between_labels.to(dtype).mul_(rule.distance_scale)  # (n, m)
    log_weights = log_push(scaled, rule.push)  # (n, m)
    if rule.push != "exp":
        log_weights.clamp_(min=NOTHING)  # minus infinity times 0 would not be a number
    log_weights.add_(weights.log().clamp_(min=NOTHING).unsqueeze(1)).mul_(negatives)
    log_weights.add_(unlike.sub_(negatives), alpha=NOTHING).fill_diagonal_(NOTHING)
    del negatives, unlike, agreeing, scaled, between_labels  # their memory serves the similarities
    log_total, mean_positive = contrast_dense(
        samples.features,
        positives,
        log_weights,
        temperature=rule.temperature,
        other_features=None if others is None else others.features,
    )
    return Contrast(log_total, mean_positive, *counts)


@outside_graphs
def _recomputed(samples: Samples, others: Samples | None, weights: Tensor, rule: Rule, plan: _Plan) -> Contrast:
    return contrast_recomputed(
        samples, others, weights.log(), rule, plan.sweeps, bounded=plan.bounded, keepable=plan.keepable
    )


@outside_graphs
def _triton(samples: Samples, others: Samples | None, weights: Tensor, rule: Rule, *, block: int | None) -> Contrast:
    samples = samples._replace(features=unit_vectors(samples.features))
    if others is not None:
        others = others._replace(features=unit_vectors(others.features))
    return contrast_triton(samples, others, weights.log(), rule, block=block)


@outside_graphs
def _plan(samples: Samples, others: Samples | None, rule: Rule, *, windowed: bool, block: int | None) -> _Plan:
    """Sweeps over all tiles that can hold pairs: of the batch with itself, and with the others if there are any."""
    device = samples.labels.device.type
    bounded = device == "cpu" and exponentials_fit(samples, others, rule)
    if bounded:
        cut_ = cut(block or BLOCK["cpu"], samples.features.shape[1])
    else:
        cut_ = Cut(block or (CAREFUL_BLOCK if device == "cpu" else BLOCK["cuda"]), in_place=1, copied=1)
    sweeps = _sweeps_over(samples, None, rule, windowed=windowed, cut=cut_)
    if others is not None:
        sweeps += _sweeps_over(samples, others, rule, windowed=windowed, cut=cut_)
    return _Plan(sweeps, bounded, KEPT * samples.features.numel() if windowed else 0)


def _sweeps_over(samples: Samples, others: Samples | None, rule: Rule, *, windowed: bool, cut: Cut) -> list[Sweep]:
    """Sweeps over the tiles of the batch with itself (others None) or with the others that can hold pairs."""
    n, m = len(samples.labels), len((samples if others is None else others).labels)
    own, named = others is None, not callable(rule.distance)  # a function need not be symmetric
    device = samples.labels.device
    bounded: list[Sweep] = []
    if windowed:
        bounded = [
            interval_sweep(
                values.squeeze(1),
                None if other_values is None else other_values.squeeze(1),
                window=rule.window,
                cut=cut,
                positives=positives,
            )
            for values, other_values, positives in _keys(samples, others)
        ]
    elif named and device.type == "cpu":  # on a GPU, Python would have to wait for the boxes
        bounded = [
            box_sweep(values, other_values, window=rule.window, distance=rule.distance, cut=cut, positives=positives)
            for values, other_values, positives in _keys(samples, others)
        ]
    if bounded and sum(sweep.area for sweep in bounded) < full_area(n, m, symmetric=own, block=cut.block):
        return bounded
    return [full_sweep(n, m, own=own, symmetric=own and named, cut=cut, device=device)]


def _keys(samples: Samples, others: Samples | None) -> list[tuple[Tensor, Tensor | None, bool]]:
    """What positives and negatives are sorted by: for each, the values of both sides, and whether it is positives."""
    return [
        (samples.labels, None if others is None else others.labels, True),
        (samples.predictions, None if others is None else others.predictions, False),
    ]
