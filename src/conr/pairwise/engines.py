"""One entry to all engines, and the choice between them."""

import math

import torch
from torch import Tensor

from conr._checks import check_choice
from conr._torch import outside_graphs
from conr.pairwise.dense import contrast_pairs
from conr.pairwise.distances import check_distance, largest, real, wide_enough
from conr.pairwise.pairs import Contrast, Prepared, Rule, Samples, keys_of, sort_keys, spoilt
from conr.pairwise.recompute import contrast_recomputed, exponentials_fit
from conr.pairwise.similarities import unit_vectors
from conr.pairwise.sweeps import Cut, Plan, Sweep, box_sweep, cut, full_area, full_sweep, interval_sweep
from conr.pairwise.triton_engine import contrast_triton

ENGINES = ("auto", "dense", "blockwise", "windowed", "triton")

MAX_DENSE_PAIRS = 8192**2  # most pairs for which "auto" computes all similarities at once on a GPU

MAX_DENSE_BYTES = 2**25
"""Largest matrix of similarities that "auto" computes at once on a CPU: above, malloc asks the system for each one."""

DENSE_PASSES = 500  # elementwise passes of the dense engine, in multiply-adds per pair: they go through memory
TILE_PASSES = 100  # elementwise passes over a tile, in multiply-adds per similarity: they stay in cache
SMALL_PRODUCT = 2.6  # time of a multiply-add in the small products of tiles, in multiply-adds of a large one
TILED_START = 140_000_000  # sorting, cutting and calling of one walk over tiles, in multiply-adds

BLOCK = {"cpu": 64, "cuda": 2048}
"""Rows of a tile: on a CPU few, as small tiles waste less around the pairs; on a GPU enough to keep it busy."""
CAREFUL_BLOCK = 256  # rows of a tile on a CPU where tiles come one at a time, as exponentials may not fit

KEPT = 3
"""Most similarities that the windowed engine keeps for the backward pass, in multiples of the features' numbers."""


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
        Four tensors of shape (n,); differentiable in the features of samples and others. A NaN or an infinity among
        the inputs makes every log_total NaN.

    Raises:
        ImportError: ``"triton"`` without Triton.
        ValueError: an unknown engine, or one that cannot do this distance, push, label dimension or device; labels so
            large that pushes overflow (looked at on a CPU).
    """
    check_choice("engine", engine, ENGINES)
    k = samples.labels.shape[1]
    check_distance(rule.distance, k)
    if engine == "windowed" and (k > 1 or callable(rule.distance)):
        got = "a function as distance" if callable(rule.distance) else f"k = {k}"
        raise ValueError(f"engine: 'windowed' expects one-dimensional labels and the name of a distance, got {got}")
    batch, more = _prepared(samples, others, rule)
    # Features carry what is infinite or no number through the similarities, labels and predictions do not.
    weights = weights + spoilt(weights + batch.label_reach + batch.prediction_reach)  # (n,)
    if more is not None:
        weights = weights + spoilt(more.label_reach + more.prediction_reach)  # (n,)
    plan = None
    if engine == "auto":
        engine, plan = _chosen(batch, more, rule, block)
    if engine == "dense":
        return contrast_pairs(batch, more, weights, rule)
    if engine == "triton":
        return _triton(batch, more, weights, rule, block=block)
    if plan is None:
        plan = _plan(batch, more, rule, windowed=engine == "windowed", block=block)
    return contrast_recomputed(batch, more, weights.log(), rule, plan)


def choose_engine(samples: Samples, others: Samples | None, rule: Rule) -> str:
    """The engine that "auto" takes: the fastest for this batch on this device, as far as benchmarks tell.

    Args:
        samples: the batch.
        others: further candidates that its samples are compared with.
        rule: of its pairs.
    """
    return _chosen(*_prepared(samples, others, rule), rule, block=None)[0]


def tile_counts(samples: Samples, others: Samples | None, rule: Rule) -> tuple[int, int]:
    """Numbers of similarities in the tiles that "auto" would visit on a CPU, and of those that it keeps."""
    plan = _plan(*_prepared(samples, others, rule), rule, windowed=_can_sort(samples, rule), block=None)
    return plan.area, plan.kept


def dense_cost(pairs: int, features: int, itemsize: int) -> float:
    """Cost of the dense engine on a CPU, in multiply-adds of a large matrix product.

    Each pair takes d of them forward and d backward, and the elementwise passes. Infinite where matrices are so large
    that the system hands out each anew.

    Args:
        pairs: anchors times candidates.
        features: their number, d.
        itemsize: bytes of a similarity.
    """
    if pairs * itemsize > MAX_DENSE_BYTES:
        return math.inf
    return pairs * (2 * features + DENSE_PASSES)


def tiled_cost(in_tiles: int, kept: int, features: int, dimensions: int, with_others: bool) -> float:
    """Cost of a tiled engine on a CPU, in multiply-adds of a large matrix product.

    Each similarity in a tile takes four products of d: forward, again in the backward pass unless it was kept, and one
    for the gradient of each of its two samples. To these come elementwise passes, twice as many for labels of several
    dimensions, and the start of each walk: one over the batch, another over other candidates.

    Args:
        in_tiles: similarities that the tiles hold.
        kept: how many of them are kept for the backward pass.
        features: their number, d.
        dimensions: of a label, k.
        with_others: whether there are candidates beside the batch.
    """
    products = SMALL_PRODUCT * features * (4 * in_tiles - kept)
    passes = TILE_PASSES * in_tiles * (1 if dimensions == 1 else 2)
    return products + passes + TILED_START * (2 if with_others else 1)


def _chosen(batch: Prepared, others: Prepared | None, rule: Rule, block: int | None) -> tuple[str, Plan | None]:
    """The engine, and its plan if it was needed to choose it."""
    n, d = batch.features.shape
    k, pairs = batch.labels.shape[1], n * (n + (0 if others is None else len(others.labels)))
    if batch.labels.device.type != "cpu":  # intervals and boxes must be known to Python, for which a GPU would wait
        return ("dense" if pairs <= MAX_DENSE_PAIRS else "blockwise"), None
    dense = dense_cost(pairs, d, batch.features.itemsize)
    if dense <= tiled_cost(0, 0, d, k, others is not None):
        return "dense", None
    windowed = _can_sort(batch, rule)
    plan = _plan(batch, others, rule, windowed=windowed, block=block)
    if dense <= tiled_cost(plan.area, plan.kept, d, k, others is not None):
        return "dense", None
    return ("windowed" if windowed else "blockwise"), plan


def _can_sort(samples: Samples | Prepared, rule: Rule) -> bool:
    """Tell if pairs are intervals in the order of labels and predictions."""
    return samples.labels.shape[1] == 1 and not callable(rule.distance)


def _prepared(samples: Samples, others: Samples | None, rule: Rule) -> tuple[Prepared, Prepared | None]:
    """Both in the dtypes that distances and similarities are computed in."""
    parts = (samples, *([] if others is None else [others]))
    _check_pushes(max(largest(part.labels) for part in parts), samples, rule)
    keys = [one for part in parts for one in keys_of(part)]
    dtype = torch.promote_types(samples.features.dtype, wide_enough(keys, rule.window, rule.distance_scale))
    for one in keys:
        dtype = torch.promote_types(dtype, real(one).dtype)
    if others is not None:
        others = others._replace(features=others.features.to(samples.features.dtype))
    return rule.prepare(samples, dtype), None if others is None else rule.prepare(others, dtype)


def _check_pushes(size: float, samples: Samples, rule: Rule) -> None:
    """Require logarithms of pushes that the dtype of the features holds, with labels of a size."""
    dtype, farthest = samples.features.dtype, 2 * samples.labels.shape[1] * size
    if rule.push != "exp" or callable(rule.distance):
        return
    if torch.finfo(dtype).max / 100 < rule.distance_scale * farthest < math.inf:
        raise ValueError(
            f"labels: expected distances whose products with distance_scale {dtype} holds, got labels of up to "
            f"{size:g} and {rule.distance_scale:g}"
        )


@outside_graphs
def _triton(batch: Prepared, others: Prepared | None, weights: Tensor, rule: Rule, *, block: int | None) -> Contrast:
    batch = batch._replace(features=unit_vectors(batch.features))
    if others is not None:
        others = others._replace(features=unit_vectors(others.features))
    return contrast_triton(batch, others, weights.log(), rule, block=block)


@outside_graphs
def _plan(batch: Prepared, others: Prepared | None, rule: Rule, *, windowed: bool, block: int | None) -> Plan:
    """Sweeps over all tiles that can hold pairs: of the batch with itself, and with the others if there are any."""
    device = batch.labels.device.type
    bounded = device == "cpu" and exponentials_fit(batch, others, rule)
    if bounded:
        cut_ = cut(block or BLOCK["cpu"], batch.features.shape[1])
    else:
        cut_ = Cut(block or (CAREFUL_BLOCK if device == "cpu" else BLOCK["cuda"]), in_place=1, copied=1)
    sweeps = _sweeps_over(batch, None, rule, windowed=windowed, cut=cut_)
    if others is not None:
        sweeps += _sweeps_over(batch, others, rule, windowed=windowed, cut=cut_)
    return Plan(sweeps, bounded, KEPT * batch.features.numel() if windowed else 0)


def _sweeps_over(batch: Prepared, others: Prepared | None, rule: Rule, *, windowed: bool, cut: Cut) -> list[Sweep]:
    """Sweeps over the tiles of the batch with itself (others None) or with the others that can hold pairs."""
    n, m = len(batch.labels), len((batch if others is None else others).labels)
    own, device = others is None, batch.labels.device
    found: list[Sweep] = []
    # A function need not be symmetric, nor any distance to boxes; on a GPU, Python would have to wait for them.
    if not callable(rule.distance) and (windowed or device.type == "cpu"):
        sweep = interval_sweep if windowed else box_sweep
        for positives in (True, False):
            more = None if others is None else sort_keys(others, positives=positives)
            points = sort_keys(batch, positives=positives)
            found.append(sweep(points, more, distance=rule.distance, cut=cut, positives=positives))
    if found and sum(sweep.area for sweep in found) < full_area(n, m, symmetric=own, block=cut.block):
        return found
    return [full_sweep(n, m, own=own, symmetric=own and not callable(rule.distance), cut=cut, device=device)]
