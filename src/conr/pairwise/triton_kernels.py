"""The kernels of the Triton engine: each program owns a block of rows and walks over the tiles of columns near it.

Anchors and candidates come in an order that brings pairs together: labels and predictions are stored in that order, as
(numbers per sample, samples), and ``row_order`` and ``column_order`` say where a sample's features lie. Logarithms have
base 2.

Loading this module needs Triton. With ``TRITON_INTERPRET=1`` in the environment before, the kernels run on the CPU.
Arguments of kernels have no types here: Triton takes them from the values of a launch.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
NOTHING = tl.constexpr(-1e30)  # the logarithm of an empty sum, as in `conr.pairwise.pairs`


@triton.jit
def _root(square):
    """Square root, rounded as torch rounds it."""
    if square.dtype == tl.float64:
        return tl.sqrt(square)
    else:
        return tl.sqrt_rn(square)


@triton.jit
def _hypotenuse(first, second):
    """Root of the sum of squares of two numbers of at least 0, however large or small: their squares may not fit."""
    longer = tl.maximum(first, second)
    ratio = tl.minimum(first, second) / tl.where(longer > 0, longer, 1.0)
    return longer * _root(1 + ratio * ratio)


@triton.jit
def _angle(apart, together):
    """Angle of two unit vectors a and b: |a - b| = 2 sin(t / 2) and |a + b| = 2 cos(t / 2).

    Halved to a sixteenth, its tangent is below 0.2: twelve terms of the series are exact to float64.
    """
    tangent = apart / (2 + together)  # of t / 4
    tangent = tangent / (1 + _root(1 + tangent * tangent))  # of t / 8
    tangent = tangent / (1 + _root(1 + tangent * tangent))  # of t / 16
    square = tangent * tangent
    series = tl.zeros_like(square)
    for index in tl.static_range(0, 12):
        series = series * square + (1 - 2 * ((11 - index) % 2)) / (2.0 * (11 - index) + 1.0)
    return 16 * tangent * series


@triton.jit
def _distances(row_keys, column_keys, row, column, rows, columns, KEYS: tl.constexpr, DISTANCE: tl.constexpr):
    """Distances (BLOCK_ROWS, BLOCK_COLUMNS) of labels or predictions."""
    first = tl.load(row_keys + row, mask=row < rows, other=0)[:, None]
    second = tl.load(column_keys + column, mask=column < columns, other=0)[None, :]
    if KEYS == 1:
        return tl.abs(first - second)
    else:
        apart = tl.abs(first - second)
        together = first + second
        if DISTANCE == "angular":
            apart = apart * apart
            together = together * together
        for key in tl.static_range(1, KEYS):
            first = tl.load(row_keys + key * rows + row, mask=row < rows, other=0)[:, None]
            second = tl.load(column_keys + key * columns + column, mask=column < columns, other=0)[None, :]
            gap = tl.abs(first - second)
            if DISTANCE == "angular":
                apart += gap * gap
                together += (first + second) * (first + second)
            elif DISTANCE == "l2":
                apart = _hypotenuse(apart, gap)
            elif DISTANCE == "l1":
                apart += gap
            else:
                apart = tl.maximum(apart, gap)
        if DISTANCE == "angular":
            return _angle(_root(apart), _root(together))
        else:
            return apart


@triton.jit
def _are_within(distance, row_keys, column_keys, row, column, rows, columns, KEYS: tl.constexpr):
    """Mask of pairs whose labels or predictions reach each other, as `conr.pairwise.pairs.find_pairs` has it."""
    reach = tl.load(row_keys + KEYS * rows + row, mask=row < rows, other=0)[:, None]
    return distance <= reach + tl.load(column_keys + KEYS * columns + column, mask=column < columns, other=0)[None, :]


@triton.jit
def _columns(index, block, near, spans, span, LISTED: tl.constexpr, BLOCK: tl.constexpr):
    """Places of the tile's columns that a block of rows visits as its index-th; some may be beyond the last."""
    if LISTED:
        tile = tl.load(near + block * spans + index // span) * span + index % span
    else:
        tile = index
    return tile * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def _similarities(
    row_features, column_features, row_at, column_at, accumulator,
    D: tl.constexpr, BLOCK_DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Products (BLOCK_ROWS, BLOCK_COLUMNS) of unit features; those of padding are those of any sample."""
    lane = tl.arange(0, BLOCK_DEPTH)
    for start in range(0, D, BLOCK_DEPTH):
        feature = start + lane
        if D % BLOCK_DEPTH == 0:
            first = tl.load(row_features + row_at[:, None] * D + feature[None, :])
            second = tl.load(column_features + column_at[:, None] * D + feature[None, :])
        else:
            inside = (feature < D)[None, :]
            first = tl.load(row_features + row_at[:, None] * D + feature[None, :], mask=inside, other=0)
            second = tl.load(column_features + column_at[:, None] * D + feature[None, :], mask=inside, other=0)
        accumulator = tl.dot(
            first, tl.trans(second), accumulator, input_precision=PRECISION, out_dtype=accumulator.dtype
        )
    return accumulator


@triton.jit
def _pairs(
    row_features, column_features, row_at, column_at, row_labels, column_labels, row_predictions,
    column_predictions, row, column, rows, columns, scales, zeros,
    D: tl.constexpr, KEYS: tl.constexpr, DISTANCE: tl.constexpr, PUSH: tl.constexpr, POSITIVES: tl.constexpr,
    OWN: tl.constexpr, BLOCK_DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Logits of a tile (with the push of negatives, without anchors' weights), and which of its pairs count."""
    logits = _similarities(
        row_features, column_features, row_at, column_at, zeros, D, BLOCK_DEPTH, PRECISION
    ) * tl.load(scales)
    between = _distances(row_labels, column_labels, row, column, rows, columns, KEYS, DISTANCE)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    alike = _are_within(between, row_labels, column_labels, row, column, rows, columns, KEYS)
    if POSITIVES:
        mask = mask & alike
        if OWN:
            mask = mask & (row_at[:, None] != column_at[None, :])
    else:
        agree = _distances(row_predictions, column_predictions, row, column, rows, columns, KEYS, DISTANCE)
        agree = _are_within(agree, row_predictions, column_predictions, row, column, rows, columns, KEYS)
        mask = mask & agree & (alike == 0)
        scaled = between.to(logits.dtype) * tl.load(scales + 1)
        if PUSH == "exp":
            logits += scaled * LOG2_E
        else:
            logits += tl.maximum(tl.log2(scaled), NOTHING)  # a push of 0 gives minus infinity
    return logits, mask


@triton.jit
def _share(first, last, part, parts):
    """The part of a range that one of several programs takes."""
    share = tl.cdiv(tl.maximum(last - first, 0), parts)
    return first + part * share, tl.minimum(last, first + (part + 1) * share)


@triton.jit
def forward_kernel(
    row_features, column_features,  # unit features of anchors and candidates, (rows, D) and (columns, D)
    row_order, column_order,  # which anchor or candidate stands where, (rows,) and (columns,) int32
    row_labels, column_labels,  # (KEYS + 1, rows or columns), in that order; last how far each reaches
    row_predictions, column_predictions,  # the same
    firsts, lasts,  # for each block of rows its first tile, and the one after its last, (blocks,) int32
    near,  # with LISTED, the tiles that each block visits, in spans: (blocks, spans) int32
    scales,  # two numbers in the dtype of the sums: 1 / (temperature log 2), and the distance scale
    log_sums, similarities, counts,  # to be written, (parts, rows): similarities of positives, counts int32
    rows, columns, spans, span,  # how many anchors, candidates and spans of tiles, and tiles of a span
    D: tl.constexpr, KEYS: tl.constexpr,  # features, and numbers per label without its reach
    DISTANCE: tl.constexpr, PUSH: tl.constexpr,  # their names; keys of angular are unit vectors
    POSITIVES: tl.constexpr, OWN: tl.constexpr,  # positives, else negatives; anchors are the candidates
    LISTED: tl.constexpr, PRECISION: tl.constexpr,  # tiles are taken from the list; of products of float32
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,  # of a tile: powers of 2
):  # fmt: skip
    """Sums of one pair set for a block of anchors; programs along the grid's second axis share its tiles."""
    block = tl.program_id(0)
    row = block * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    row_at = tl.load(row_order + row, mask=row < rows, other=0).to(tl.int64)
    zeros = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=scales.dtype.element_ty)
    similarity = tl.zeros((BLOCK_ROWS,), dtype=scales.dtype.element_ty)
    total = tl.zeros((BLOCK_ROWS,), dtype=scales.dtype.element_ty)
    highest = tl.full((BLOCK_ROWS,), NOTHING, dtype=scales.dtype.element_ty)
    count = tl.zeros((BLOCK_ROWS,), dtype=tl.int32)
    first, last = _share(tl.load(firsts + block), tl.load(lasts + block), tl.program_id(1), tl.num_programs(1))
    for index in range(first, last):
        column = _columns(index, block, near, spans, span, LISTED, BLOCK_COLUMNS)
        column_at = tl.load(column_order + column, mask=column < columns, other=0).to(tl.int64)
        logits, mask = _pairs(
            row_features, column_features, row_at, column_at, row_labels, column_labels, row_predictions,
            column_predictions, row, column, rows, columns, scales, zeros,
            D, KEYS, DISTANCE, PUSH, POSITIVES, OWN, BLOCK_DEPTH, PRECISION,
        )  # fmt: skip
        count += tl.sum(mask.to(tl.int32), axis=1)
        if POSITIVES:
            similarity += tl.sum(tl.where(mask, logits, 0.0), axis=1)
        logits = tl.where(mask, logits, NOTHING)
        higher = tl.maximum(highest, tl.max(logits, axis=1))
        total = total * tl.exp2(highest - higher) + tl.sum(tl.exp2(logits - higher[:, None]), axis=1)
        highest = higher
    # A row without pairs has counted what it left out: the logarithm of that is lost in -1e30.
    log_sum = tl.where(total > 0, highest + tl.log2(tl.where(total > 0, total, 1.0)), highest)
    out = tl.program_id(1).to(tl.int64) * rows + row_at
    tl.store(log_sums + out, log_sum, mask=row < rows)
    tl.store(counts + out, count, mask=row < rows)
    if POSITIVES:
        tl.store(similarities + out, similarity, mask=row < rows)


@triton.jit
def _slopes(logits, at, offsets, totals, means, axis: tl.constexpr, POSITIVES: tl.constexpr):
    """Gradient of a tile's similarities by the terms of its anchors, which stand along the given axis of the grid."""
    offset = tl.expand_dims(tl.load(offsets + at), 1 - axis)
    total = tl.expand_dims(tl.load(totals + at), 1 - axis)
    slope = tl.exp2(logits - offset) * total
    if POSITIVES:
        slope += tl.expand_dims(tl.load(means + at), 1 - axis)
    return slope


@triton.jit
def backward_kernel(  # arguments are those of `forward_kernel`, and some more
    row_features, column_features, row_order, column_order, row_labels, column_labels,
    row_predictions, column_predictions, firsts, lasts, near, scales,
    offsets,  # for each anchor log2 of its sum, for negatives before its weight, (anchors,)
    totals, means,  # gradient of its log_total over temperature, of its mean_positive over temperature and count
    gradients,  # to be written, (parts, rows, D), in the dtype of the sums
    rows, columns, spans, span,
    D: tl.constexpr, KEYS: tl.constexpr, DISTANCE: tl.constexpr, PUSH: tl.constexpr,
    POSITIVES: tl.constexpr, OWN: tl.constexpr, LISTED: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_DEPTH: tl.constexpr,
    ROW_ANCHORS: tl.constexpr, COLUMN_ANCHORS: tl.constexpr,  # whether rows, columns are anchors
    WIDTH: tl.constexpr,  # features of the gradient that a program computes, a power of 2
):  # fmt: skip
    """Gradient of the unit features of a block of rows by one pair set.

    The grid's second axis shares out the tiles, each part with a gradient of its own, the third the features. Pairs are
    mutual, so that one visit serves both anchors of a pair.
    """
    block = tl.program_id(0)
    row = block * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    row_at = tl.load(row_order + row, mask=row < rows, other=0).to(tl.int64)
    zeros = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), dtype=scales.dtype.element_ty)
    gradient = tl.zeros((BLOCK_ROWS, WIDTH), dtype=scales.dtype.element_ty)
    feature = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    first, last = _share(tl.load(firsts + block), tl.load(lasts + block), tl.program_id(1), tl.num_programs(1))
    for index in range(first, last):
        column = _columns(index, block, near, spans, span, LISTED, BLOCK_COLUMNS)
        column_at = tl.load(column_order + column, mask=column < columns, other=0).to(tl.int64)
        logits, mask = _pairs(
            row_features, column_features, row_at, column_at, row_labels, column_labels, row_predictions,
            column_predictions, row, column, rows, columns, scales, zeros,
            D, KEYS, DISTANCE, PUSH, POSITIVES, OWN, BLOCK_DEPTH, PRECISION,
        )  # fmt: skip
        slope = zeros
        if ROW_ANCHORS:
            slope += _slopes(logits, row_at, offsets, totals, means, 0, POSITIVES)
        if COLUMN_ANCHORS:
            slope += _slopes(logits, column_at, offsets, totals, means, 1, POSITIVES)
        slope = tl.where(mask, slope, 0.0)
        others = tl.load(
            column_features + column_at[:, None] * D + feature[None, :], mask=(feature < D)[None, :], other=0
        )
        slope = slope.to(others.dtype)
        gradient = tl.dot(slope, others, gradient, input_precision=PRECISION, out_dtype=gradient.dtype)
    out = gradients + (tl.program_id(1).to(tl.int64) * rows + row_at[:, None]) * D + feature[None, :]
    inside = (row < rows)[:, None] & (feature < D)[None, :]
    tl.store(out, gradient, mask=inside)


INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)  # true where kernels run on the CPU
