r"""The Triton engine (experimental): the tiled engines as one kernel for each pair set, never waiting for a GPU.

Positives are found in the order of labels, negatives in the order of predictions; `conr.pairwise.triton_tiles` says
which tiles a block of anchors visits. Forward keeps, for every anchor, only the log of its sum and its count of
positives; backward computes each tile again. Nothing is added up in an order that changes from run to run.
"""

import math
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from conr.pairwise.distances import Distance
from conr.pairwise.pairs import LOG2_E, NOTHING, Contrast, Prepared, Rule
from conr.pairwise.triton_tiles import Side, side, walk

MAX_PARTS = 8  # into how many parts the tiles of a block are shared out where there are too few blocks for a GPU


def contrast_triton(
    samples: Prepared, others: Prepared | None, log_weights: Tensor, rule: Rule, *, block: int | None = None
) -> Contrast:
    r"""Compute on a GPU the same as `contrast_dense`, without ever holding n x n numbers.

    Args:
        samples: the batch: its unit features (n, d), labels (n, k), predictions (n, k) and reaches (n,).
        others: more candidates, which are no anchors, (m, ...).
        log_weights: shape (n,): logarithm of each anchor's weight, which multiplies its negatives.
        rule: what makes and weighs pairs.
        block: rows and columns of a tile, a power of 2 of at least 16; chosen by d and dtype if None.

    Returns:
        The terms, differentiable once with respect to both unit features.

    Raises:
        ImportError: no Triton.
        ValueError: tensors that are not on a GPU; a function as distance or push; a block that cannot be.

    Notes:
        Products are of float64 for float64 features, else as ``torch.set_float32_matmul_precision`` says: ``"highest"``
        in three products of TF32, which is about float32, ``"high"`` in TF32, ``"medium"`` in bfloat16. Sums are
        float32 at least. Saves the unit features and O(n) numbers; needs copies of gradients while it runs.
    """
    check_triton(samples.features.device)
    for name, value in (("distance", rule.distance), ("push", rule.push)):
        if callable(value):
            raise ValueError(f"engine: 'triton' expects the name of a {name}, got a function")  # noqa: TRY004
    if block is not None and (block < 16 or block & (block - 1)):
        raise ValueError(f"block: engine 'triton' expects a power of 2 of at least 16, got {block}")
    problem = _Problem(
        rule,
        _sides(samples, rule),
        None if others is None or len(others.features) == 0 else _sides(others, rule),
        log_weights,
        _precision(samples.features.dtype),
        block,
    )
    with torch.cuda.device_of(samples.features):  # type: ignore[no-untyped-call]
        return Contrast(*_Recomputed.apply(samples.features, None if others is None else others.features, problem))


LEAST_TRITON = (3, 5)
"""Earlier versions multiply no float64 matrices."""


def check_triton(device: torch.device) -> None:
    """Require what the kernels need: Triton, and a GPU that holds the samples (or kernels that run on the CPU)."""
    if find_spec("triton") is None:
        raise ImportError(
            "engine: 'triton' needs the package triton, not installed here; it comes with torch for CUDA on Linux"
        )
    import triton  # noqa: PLC0415 - slow to load

    from conr.pairwise.triton_kernels import INTERPRETED  # noqa: PLC0415 - loads Triton

    if tuple(map(int, triton.__version__.split(".")[:2])) < LEAST_TRITON:
        raise ImportError(f"engine: 'triton' needs triton 3.5, which comes with torch 2.9, got {triton.__version__}")
    if device.type != "cuda" and not INTERPRETED:
        seen = "" if torch.cuda.is_available() else ", and torch sees no GPU here"
        raise ValueError(f"engine: 'triton' needs samples on a GPU, got device {device}{seen}")


class _Sides(NamedTuple):
    """The same samples in the order of labels, where positives are, and of predictions, where negatives are."""

    positives: Side
    negatives: Side


class _Problem(NamedTuple):
    """All that is constant."""

    rule: Rule
    own: _Sides
    others: _Sides | None
    log_weights: Tensor  # (n,)
    precision: str  # of products
    block: int | None


class Tiles(NamedTuple):
    """Sizes of a kernel's tiles: all are powers of 2."""

    rows: int
    columns: int
    depth: int  # features that are multiplied at once
    width: int  # features of the gradient that a program computes
    warps: int
    stages: int

    @classmethod
    def fitting(
        cls, d: int, precision: str, distance: Distance, *, backward: bool, roomy: bool, block: int | None = None
    ) -> "Tiles":
        """Tiles that registers and shared memory of a GPU have room for, by the compiler's numbers for an H100.

        Args:
            d: size of a feature vector.
            precision: of products.
            distance: of labels.
            backward: for the backward kernel.
            roomy: see `has_room`; up to 128 features of a block of rows then stay in shared memory all the time.
            block: rows and columns, if given.
        """
        whole = max(16, 1 << (d - 1).bit_length())
        if precision == "ieee" or distance == "angular":  # float64, and angles, take many instructions
            rows, columns, depth, width, warps = 32, 32, 16, 64, 4
        else:
            thrice = precision == "tf32x3"  # three products need the registers of three
            rows, columns, warps = (64, 32 if thrice else 64, 8) if backward else (128, 64, 8)
            depth = 128 if roomy and whole <= 128 and not thrice else 64 if precision == "bf16" else 32
            width = 128 if thrice else 256
        return cls(block or rows, block or columns, min(depth, whole), min(width, whole), warps, stages=2)


def has_room(device: torch.device) -> bool:
    """Tell if a program may have 160 KiB of shared memory, as on an A100, an H100 and their successors."""
    if device.type != "cuda":
        return False
    properties = torch.cuda.get_device_properties(device)
    return bool(getattr(properties, "shared_memory_per_block_optin", 0) > 162 * 1024)


def _sides(samples: Prepared, rule: Rule) -> _Sides:
    return _Sides(*(side(samples, rule, positives=positives) for positives in (True, False)))


def _precision(dtype: torch.dtype) -> str:
    """The type in which features are multiplied, by torch's setting for float32."""
    if dtype is torch.float64:
        return "ieee"
    try:
        setting = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by backend, which torch does not translate
        setting = "high" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "highest"
    return {"highest": "tf32x3", "high": "tf32", "medium": "bf16"}[setting]


class _Launch(NamedTuple):
    """One kernel over the pairs of rows and columns of one set."""

    problem: _Problem
    rows: Side
    columns: Side
    row_features: Tensor  # (rows, d)
    column_features: Tensor  # (columns, d)
    positives: bool
    own: bool

    def arguments(self, tiles: Tiles) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Arguments of both kernels: those before their own, those after, and constants."""
        rule, rows, columns = self.problem.rule, self.rows, self.columns
        found = walk(rows, columns, block_rows=tiles.rows, block_columns=tiles.columns)
        scales = rows.points.new_full((2,), LOG2_E / rule.temperature, dtype=self.problem.log_weights.dtype)
        scales[1:].fill_(rule.distance_scale)  # numbers from Python go to a GPU without waiting for it
        before = [
            *(self.row_features, self.column_features, rows.order, columns.order),
            *(rows.labels, columns.labels, rows.predictions, columns.predictions),
            *(found.firsts, found.lasts, found.firsts if found.near is None else found.near, scales),
        ]
        constants = {
            "D": self.row_features.shape[1],
            "KEYS": len(rows.labels) - 1,
            "DISTANCE": rule.distance,
            "PUSH": rule.push,
            "POSITIVES": self.positives,
            "OWN": self.own,
            "LISTED": found.near is not None,
            "PRECISION": "ieee" if self.problem.precision == "bf16" else self.problem.precision,
            "BLOCK_ROWS": tiles.rows,
            "BLOCK_COLUMNS": tiles.columns,
            "BLOCK_DEPTH": tiles.depth,
            "num_warps": tiles.warps,
            "num_stages": tiles.stages,
        }
        return before, [rows.n, columns.n, found.spans, found.span], constants

    def tiles(self, *, backward: bool) -> Tiles:
        """Tiles to cut it into."""
        return Tiles.fitting(
            self.row_features.shape[1],
            self.problem.precision,
            self.problem.rule.distance,
            backward=backward,
            roomy=has_room(self.row_features.device),
            block=self.problem.block,
        )

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log2 of the sum, similarities (of positives), and count for each row, in parts: (parts, rows) each."""
        from conr.pairwise.triton_kernels import forward_kernel  # noqa: PLC0415 - loads Triton

        tiles = self.tiles(backward=False)
        blocks = math.ceil(self.rows.n / tiles.rows)
        parts = _parts(blocks, self.row_features.device)
        log_sums = self.problem.log_weights.new_empty(parts, self.rows.n)
        similarities, counts = torch.zeros_like(log_sums), torch.empty_like(log_sums, dtype=torch.int32)
        before, after, constants = self.arguments(tiles)
        forward_kernel[blocks, parts](*before, log_sums, similarities, counts, *after, **constants)
        return log_sums, similarities, counts

    def gradient(self, slopes: "_Slopes", *, row_anchors: bool, column_anchors: bool) -> Tensor:
        """Gradient of the features of rows, (rows, d)."""
        from conr.pairwise.triton_kernels import backward_kernel  # noqa: PLC0415 - loads Triton

        tiles = self.tiles(backward=True)
        d = self.row_features.shape[1]
        blocks, chunks = math.ceil(self.rows.n / tiles.rows), math.ceil(d / tiles.width)
        parts = _parts(blocks * chunks, self.row_features.device)
        gradients = self.problem.log_weights.new_empty(parts, self.rows.n, d)
        before, after, constants = self.arguments(tiles)
        offset = slopes.offset_positive if self.positives else slopes.offset_negative
        backward_kernel[blocks, parts, chunks](
            *before,
            *(offset, slopes.total, slopes.mean, gradients),
            *after,
            **constants,
            ROW_ANCHORS=row_anchors,
            COLUMN_ANCHORS=column_anchors,
            WIDTH=tiles.width,
        )
        return gradients[0] if parts == 1 else gradients.sum(dim=0)


def _parts(programs: int, device: torch.device) -> int:
    """Into how many parts the tiles of a block are shared out, to keep a GPU busy."""
    if device.type != "cuda":
        return 2
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(MAX_PARTS, 2 * processors // programs))


class _Slopes(NamedTuple):
    """Numbers that backward needs of every anchor, each of shape (n,)."""

    offset_positive: Tensor  # log2 of the anchor's sum
    offset_negative: Tensor  # the same, before the anchor's weight
    total: Tensor  # gradient of log_total, over temperature
    mean: Tensor  # gradient of mean_positive, over temperature and count


def _sums(
    problem: _Problem, unit: Tensor, other_unit: Tensor | None, *, positives: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Log of the sum, similarities (of positives), and count of every anchor, (n,) each."""
    n = len(unit)
    if n == 0:
        nothing = problem.log_weights.new_zeros(0)
        return nothing, nothing, nothing
    own = problem.own[not positives]
    found = [_Launch(problem, own, own, unit, unit, positives=positives, own=True).sums()]
    if problem.others is not None and other_unit is not None:
        others = problem.others[not positives]
        found.append(_Launch(problem, own, others, unit, other_unit, positives=positives, own=False).sums())
    log_sums, similarities, counts = (torch.cat(parts) for parts in zip(*found, strict=True))  # (parts, n) each
    return (
        torch.logsumexp(log_sums / LOG2_E, dim=0),
        similarities.sum(dim=0) / LOG2_E,
        counts.sum(dim=0).to(log_sums.dtype),
    )


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, other_features: Tensor | None, problem: _Problem
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dtype = torch.bfloat16 if problem.precision == "bf16" else features.dtype
        unit = features.to(dtype).contiguous()  # (n, d)
        other_unit = None if other_features is None else other_features.to(dtype).contiguous()  # (m, d)
        log_positive, similarity, positives = _sums(problem, unit, other_unit, positives=True)  # (n,) each
        log_negative, _, negatives = _sums(problem, unit, other_unit, positives=False)  # (n,) each
        log_total = torch.logaddexp(log_positive, log_negative + problem.log_weights)  # (n,)
        log_total = torch.where(log_total < NOTHING / 2, 0, log_total)
        for tensor in (features, other_features):
            if tensor is not None:
                log_total += (0 * tensor).sum()  # a NaN reaches every anchor, also those whose tiles it is not in
        count = positives.clamp(min=1)  # (n,)
        ctx.save_for_backward(unit, other_unit, log_total, count)
        ctx.problem, ctx.dtype = problem, features.dtype
        ctx.mark_non_differentiable(positives, negatives)
        return log_total, similarity / count, positives, negatives

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_log_total: Tensor, grad_mean_positive: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        unit, other_unit, log_total, count = ctx.saved_tensors
        problem: _Problem = ctx.problem
        temperature = problem.rule.temperature
        slopes = _Slopes(
            offset_positive=log_total * LOG2_E,
            offset_negative=(log_total - problem.log_weights) * LOG2_E,
            total=(grad_log_total / temperature).contiguous(),
            mean=grad_mean_positive / (count * temperature),
        )
        need, need_others, _ = ctx.needs_input_grad
        grad = torch.zeros_like(unit, dtype=log_total.dtype) if need else None  # (n, d)
        grad_others = torch.zeros_like(other_unit, dtype=log_total.dtype) if need_others else None  # (m, d)
        with torch.cuda.device_of(unit):  # type: ignore[no-untyped-call]
            for positives in (True, False) if len(unit) else ():
                own = problem.own[not positives]
                if grad is not None:
                    launch = _Launch(problem, own, own, unit, unit, positives=positives, own=True)
                    grad += launch.gradient(slopes, row_anchors=True, column_anchors=True)
                if problem.others is None:
                    continue
                others = problem.others[not positives]
                if grad is not None:
                    launch = _Launch(problem, own, others, unit, other_unit, positives=positives, own=False)
                    grad += launch.gradient(slopes, row_anchors=True, column_anchors=False)
                if grad_others is not None:
                    launch = _Launch(problem, others, own, other_unit, unit, positives=positives, own=False)
                    grad_others += launch.gradient(slopes, row_anchors=False, column_anchors=True)
        return grad, grad_others, None
