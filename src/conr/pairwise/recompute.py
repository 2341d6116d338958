r"""The tiled engines: walks over tiles of the similarities that keep few or none of them.

Forward saves, for every anchor, only the log of its sum and its count of positives; backward computes each tile again,
unless forward kept it. With the log $A_i$ of the sum, a similarity's gradient is known from itself alone, so no tile
has to wait for another.

A worked example: six samples, tiles of two, and only positives. In the order of their labels, the samples and their
blocks are

    labels   1.0  1.2 | 1.9  5.0 | 5.1  9.0        window 1.0
    block       0     |    1     |    2

Sorted, all pairs within the window lie near the diagonal, and `conr.pairwise.sweeps` lists the tiles that can hold
some: (0, 0), (0, 1), (1, 1), (1, 2), (2, 2). Tile (0, 2) is left out, as 5.1 - 1.2 is beyond the window, and what lies
below the diagonal mirrors what lies above. For tile (0, 1), forward computes 2 x 2 similarities $s$ and the mask:

    s      1.9   5.0        mask  1.9  5.0
    1.0    0.5   0.1        1.0    1    0
    1.2    0.7   0.2        1.2    1    0

It adds $e^s$ of the pairs to the sums of its rows ($e^{0.5}$ for 1.0, $e^{0.7}$ for 1.2) and, as each pair is there
only once, to those of its columns ($e^{0.5} + e^{0.7}$ for 1.9; nothing for 5.0). Then it forgets the tile. After all
tiles the sum of 1.0 is $e^{s(1.0, 1.2)} + e^{0.5}$, and $A$ is its log. Backward computes the tile again: the gradient
of the similarity of 1.0 and 1.9 is $g_{1.0} e^{0.5 - A_{1.0}} + g_{1.9} e^{0.5 - A_{1.9}}$, one term for each of the
two anchors, where $g$ is the gradient of $A$. These gradients times the features of the columns are added to the
gradient of the rows, their transpose times the features of the rows to that of the columns. Negatives are found in the
same way, in the order of predictions.

Arithmetic is made for many tiles at once, (t, r, c), in memory that all of them use in turn: on a CPU, calls cost as
much as short arithmetic, and new memory costs more. Logarithms have base 2: ``exp2`` is faster than ``exp``, which
slows down on what underflows.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from conr._torch import outside_graphs
from conr.pairwise.blocks import Scratch, add, add_product, at, shifted
from conr.pairwise.pairs import LOG2_E, NOTHING, Contrast, Prepared, Rule, find_pairs, log_push
from conr.pairwise.similarities import through_unit_, unit_and_inverse
from conr.pairwise.sweeps import Batch, Blocks, Plan, Sweep


@outside_graphs
def contrast_recomputed(
    batch: Prepared,
    others: Prepared | None,
    log_weights: Tensor,
    rule: Rule,
    plan: Plan,
) -> Contrast:
    r"""Both terms of every anchor, without ever holding n x n numbers.

    Args:
        batch: features (n, d), labels (n, k), predictions (n, k) and reaches (n,).
        others: more candidates, which are no anchors, (m, ...).
        log_weights: shape (n,): logarithm of each anchor's weight, which multiplies its negatives.
        rule: what makes and weighs pairs.
        plan: the walks; together they must visit every pair that counts once.

    Returns:
        The terms, differentiable once with respect to both features. A feature that is not finite makes each NaN.

    Notes:
        Time follows the area of the sweeps. Saves the unit features, O(n) numbers and what may be kept; needs two more
        copies of the features and a few batches of tiles while it runs.
    """
    if not (plan.bounded and torch.is_grad_enabled()):
        plan = plan._replace(keepable=0)
    other_features = None if others is None else others.features
    return Contrast(*_Recomputed.apply(batch.features, other_features, batch, others, log_weights * LOG2_E, rule, plan))


def exponentials_fit(batch: Prepared, others: Prepared | None, rule: Rule) -> bool:
    """Tell if sums of exponentials of similarities and pushes neither overflow nor vanish without further care.

    Looks at values, for which a GPU would have to wait.
    """
    labels = batch.labels if others is None else torch.cat((batch.labels, others.labels))
    if callable(rule.push) or callable(rule.distance) or len(labels) == 0:
        return False
    farthest = math.pi  # of two labels
    if rule.distance != "angular":
        extent = labels.amax(dim=0) - labels.amin(dim=0)  # (k,)
        farthest = float(extent.sum())  # no norm is larger
    push = rule.distance_scale * farthest
    highest = push if rule.push == "exp" else math.log(max(push, 1))
    logit = LOG2_E * (1 / rule.temperature + highest)
    return logit <= math.log2(torch.finfo(batch.features.dtype).max) / 2  # a NaN does not fit


class _Side(NamedTuple):
    """Anchors along the rows or along the columns of a batch of tiles."""

    blocks: Blocks
    length: int  # of each tile on this side
    dim: int  # of a tile, to sum over
    skipped: int = 0  # anchors at the beginning of each tile that do not count here

    def part(self, tiles: Tensor) -> Tensor:
        """Part of tiles (t, r, c) that counts for these anchors."""
        return tiles[:, :, self.skipped :] if self.skipped else tiles

    def values(self, tensor: Tensor) -> Tensor:
        """Values (blocks, block) of the anchors, spread over their tiles: (t, r, 1) or (t, 1, c)."""
        return at(tensor, self.blocks, self.length).unsqueeze(self.dim)


class _Set(NamedTuple):
    """One pair set in a batch of tiles."""

    mask: Tensor  # (t, r, c): 1 for a pair of the set, else 0
    logits: Tensor  # (t, r, c): log2 of what a pair adds to the sum (before the anchor's weight); outside, any number
    positive: bool

    def exponentials_(self) -> Tensor:
        """Exponentials of the logits, (t, r, c), 0 outside the set; overwrites the logits."""
        return self.logits.exp2_().mul_(self.mask)

    def masked_logits(self) -> Tensor:
        """Logits that are about -1e30 outside the set, (t, r, c)."""
        return torch.where(self.mask == 0, NOTHING, self.logits + (self.mask - 1))  # a NaN in the mask stays


class _Walk(NamedTuple):
    """A sweep with its anchors and candidates in order, (blocks, block, ...)."""

    rows: Prepared
    columns: Prepared
    sweep: Sweep
    rule: Rule
    scratch: Scratch

    @classmethod
    def over(cls, batch: Prepared, others: Prepared | None, sweep: Sweep, rule: Rule, scratch: Scratch) -> "_Walk":
        """Put the samples in the order of a sweep."""
        # Padding rows get NaN keys, so they never match, and copied values elsewhere, so they stay finite.
        keys = (math.nan, None) if sweep.positives else (None, math.nan)

        def ordered(side: str, part: Prepared, order: Tensor) -> Prepared:
            fields = zip(Prepared._fields, part, (0, *keys, None, None), strict=True)
            return Prepared(
                *(scratch.blocks(f"{side} {name}", one, order, sweep, fill=fill) for name, one, fill in fields)
            )

        rows = columns = ordered("row", batch, sweep.rows)
        if not sweep.own and others is not None:
            columns = ordered("column", others, sweep.columns)
        return cls(rows, columns, sweep, rule, scratch)

    def sides(self, batch: Batch, *, slopes: bool = False) -> list[_Side]:
        """The sides whose anchors see the tiles.

        A tile on the diagonal holds both orders of each pair: its rows see all, but its slopes are those of both.
        """
        rows = _Side(batch.rows, batch.height, 2)
        if not self.sweep.symmetric:
            return [rows]
        return [rows, _Side(batch.columns, batch.width, 1)] if slopes else [rows, *self.candidates(batch)]

    def candidates(self, batch: Batch) -> list[_Side]:
        """The columns that are not on the diagonal of a symmetric sweep: one side, or none."""
        skipped = batch.height if self.sweep.symmetric and batch.diagonal else 0
        if skipped == batch.width:
            return []
        columns = shifted(batch.columns, 1) if skipped else batch.columns
        return [_Side(columns, batch.width - skipped, 1, skipped)]

    def tiles(self, batch: Batch, *, keep: bool = False) -> tuple[Tensor, list[_Set]]:
        """Similarities in units of log2, (t, r, c), and each pair set that the sweep looks for.

        Everything is in memory that the next batch uses again, but for the similarities that are to be kept.
        """
        rule, sweep, take = self.rule, self.sweep, self.scratch.take
        rows = Prepared(*(at(tensor, batch.rows, batch.height) for tensor in self.rows))
        columns = Prepared(*(at(tensor, batch.columns, batch.width) for tensor in self.columns))
        shape, like = (batch.tiles, batch.height, batch.width), rows.features
        similarity = like.new_empty(shape) if keep else take("similarity", shape, like)  # (t, r, c)
        transposed = columns.features.transpose(1, 2)  # (t, d, c)
        torch.baddbmm(similarity, rows.features, transposed, beta=0, alpha=LOG2_E / rule.temperature, out=similarity)
        found = find_pairs(
            rows,
            columns,
            rule,
            like=like,
            diagonal=batch.diagonal,
            positives=sweep.positives,
            negatives=sweep.negatives,
            take=take,
        )
        sets = []
        if sweep.negatives:
            logits = take("repelling", shape, like) if sweep.positives else similarity  # (t, r, c)
            if rule.push == "exp":
                torch.add(similarity, found.label_distance, alpha=LOG2_E * rule.distance_scale, out=logits)
            else:
                scaled = (found.label_distance * rule.distance_scale).flatten(0, 1)  # (t r, c)
                pushes = log_push(scaled, rule.push).to(like.dtype).view(shape)  # (t, r, c)
                torch.add(similarity, pushes, alpha=LOG2_E, out=logits)
            sets.append(_Set(found.negatives, logits, positive=False))
        if sweep.positives:
            sets.append(_Set(found.positives, similarity, positive=True))
        return similarity, sets


class _Sums(NamedTuple):
    """Sums over the pairs of every anchor, each of shape (n,), or (blocks, block) in the order of a sweep."""

    positive: Tensor  # sum of exponentials, or its log2
    negative: Tensor  # the same
    similarity: Tensor  # of positives
    positives: Tensor  # how many
    negatives: Tensor

    @classmethod
    def empty(cls, like: Tensor, shape: tuple[int, ...], nothing: float) -> "_Sums":
        return cls(*(like.new_full(shape, value) for value in (nothing, nothing, 0, 0, 0)))

    def absorb(self, walk: _Walk, batch: Batch, *, bounded: bool, keep: bool) -> Tensor | None:
        """Add a batch of tiles to the sums of the anchors that see it; return the exponentials if they are kept."""
        similarity, sets = walk.tiles(batch, keep=keep)
        sides = walk.sides(batch)
        for pairs in sets:
            total, count = (self.positive, self.positives) if pairs.positive else (self.negative, self.negatives)
            for side in sides:
                add(count, side.blocks, side.part(pairs.mask).sum(dim=side.dim))
            if pairs.positive:
                out = walk.scratch.take("attracting", similarity.shape, similarity)
                attracting = torch.mul(similarity, pairs.mask, out=out)  # (t, r, c)
                for side in sides:
                    add(self.similarity, side.blocks, side.part(attracting).sum(dim=side.dim))
            added = pairs.exponentials_() if bounded else pairs.masked_logits()  # (t, r, c)
            for side in sides:
                if bounded:
                    add(total, side.blocks, side.part(added).sum(dim=side.dim))
                else:
                    log_sum = at(total, side.blocks, side.length)  # a view, as there is one tile
                    torch.logaddexp2(log_sum, _log_sum(side.part(added), side.dim), out=log_sum)
        return added if keep else None

    def merge(self, order: Tensor, found: "_Sums", *, bounded: bool) -> None:
        """Add what a sweep found for anchors in its own order."""
        for mine, new in zip(self, found, strict=True):
            placed = torch.empty_like(mine).index_copy_(0, order, new.view(-1)[: len(mine)])  # (n,)
            if bounded or (mine is not self.positive and mine is not self.negative):
                mine.add_(placed)
            else:
                torch.logaddexp2(mine, placed, out=mine)

    def log_total(self, log_weights: Tensor, *, bounded: bool) -> Tensor:
        """log2 of each anchor's sum over positives and weighted negatives, (n,); below `NOTHING` / 2 without pairs."""
        positive, negative = self.positive, self.negative
        if bounded:
            positive, negative = (one.log2().clamp_(min=NOTHING) for one in (positive, negative))
        return torch.logaddexp2(positive, negative + log_weights)


def _log_sum(logits: Tensor, dim: int) -> Tensor:
    highest = logits.amax(dim=dim, keepdim=True).clamp_(min=NOTHING)  # a push of 0 gives minus infinity
    return (logits - highest).exp2_().sum(dim=dim).log2_().add_(highest.squeeze(dim))


class _Slopes(NamedTuple):
    """Factors of every anchor in the gradient, each of shape (n,), or (blocks, block) in the order of a sweep."""

    positive: Tensor  # of log_total over the exponential of a positive: log2, or times `total` if that fits
    negative: Tensor  # the same for a negative
    total: Tensor  # gradient of log_total, over temperature
    mean: Tensor  # gradient of mean_positive, over temperature and count

    def factors(self) -> "_Slopes":
        """With the slopes themselves for their logarithms, where exponentials fit."""
        largest = math.log2(torch.finfo(self.total.dtype).max) / 2  # only an empty set has a larger one
        positive, negative = (one.clamp(max=largest).exp2_().mul_(self.total) for one in self[:2])
        return self._replace(positive=positive, negative=negative)

    def grad_tiles(self, walk: _Walk, batch: Batch, kept: Tensor | None, *, bounded: bool) -> Tensor:
        """Gradient of the similarities of a batch of tiles, (t, r, c)."""
        take, grads = walk.scratch.take, []
        sides = walk.sides(batch, slopes=True)
        if kept is not None:
            positive = walk.sweep.positives  # of negatives the exponentials are enough
            mask = torch.gt(kept, 0, out=take("positives", kept.shape, kept)) if positive else kept  # (t, r, c)
            sets = [_Set(mask, kept, positive)]
        else:
            _, sets = walk.tiles(batch)
        for pairs in sets:
            slopes = self.positive if pairs.positive else self.negative
            factor = take("factor", pairs.mask.shape, pairs.mask)  # (t, r, c)
            if bounded:
                added = pairs.exponentials_() if kept is None else kept  # (t, r, c)
                out = take("grad positives" if pairs.positive else "grad negatives", added.shape, added)
                grad = torch.mul(added, _both(slopes, sides, factor), out=out)  # (t, r, c)
            else:
                logits, grad = pairs.masked_logits(), torch.zeros_like(pairs.mask)  # (t, r, c)
                for side in sides:
                    grad.addcmul_((logits + side.values(slopes)).exp2_(), side.values(self.total))
            if pairs.positive:
                grad.addcmul_(pairs.mask, _both(self.mean, sides, factor))
            grads.append(grad)
        return grads[0] if len(grads) == 1 else grads[0].add_(grads[1])


def _both(values: Tensor, sides: list[_Side], out: Tensor) -> Tensor:
    """For each pair, the values (blocks, block) of the anchors that see it, added up: (t, r, c) or (t, r, 1)."""
    if len(sides) == 1:
        return sides[0].values(values)
    return torch.add(sides[0].values(values), sides[1].values(values), out=out)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes arguments by position
        ctx: Any,
        features: Tensor,
        other_features: Tensor | None,
        batch: Prepared,
        others: Prepared | None,
        log_weights: Tensor,
        rule: Rule,
        plan: Plan,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        bounded, scratch, keepable = plan.bounded, Scratch(), plan.keepable
        kept: list[Tensor | None] = []  # of every batch
        nothing = 0 if bounded else NOTHING
        total = _Sums.empty(features, (len(features),), nothing)
        other_inverse = None
        with torch.autocast(features.device.type, enabled=False):
            features, inverse = unit_and_inverse(features)  # (n, d), (n, 1)
            batch = batch._replace(features=features)
            if others is not None and other_features is not None:
                other_features, other_inverse = unit_and_inverse(other_features)  # (m, d), (m, 1)
                others = others._replace(features=other_features)
            for sweep in plan.sweeps:
                walk = _Walk.over(batch, others, sweep, rule, scratch)
                found = _Sums.empty(features, tuple(walk.rows.features.shape[:2]), nothing)
                for tiles in sweep.batches:
                    keep = tiles.area <= keepable and sweep.positives != sweep.negatives
                    keepable -= tiles.area if keep else 0
                    kept.append(found.absorb(walk, tiles, bounded=bounded, keep=keep))
                total.merge(sweep.rows, found, bounded=bounded)
        log_total = total.log_total(log_weights, bounded=bounded)  # (n,)
        log_total = torch.where(log_total < NOTHING / 2, 0, log_total)
        log_total += 0 * features.sum()  # a NaN reaches every anchor, also those whose tiles it is not in
        if other_features is not None:
            log_total += 0 * other_features.sum()
        count = total.positives.clamp(min=1)  # (n,)
        # Labels and predictions are saved by autograd, which tells if they have changed when backward needs them.
        more = others or (None,) * len(batch)
        ctx.save_for_backward(*batch, *more, inverse, other_inverse, log_weights, log_total, count, *kept)
        ctx.rule, ctx.plan = rule, plan
        ctx.mark_non_differentiable(total.positives, total.negatives)
        return log_total / LOG2_E, total.similarity / (count * LOG2_E), total.positives, total.negatives

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_log_total: Tensor, grad_mean_positive: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        fields = len(Prepared._fields)
        batch, saved = Prepared(*ctx.saved_tensors[:fields]), ctx.saved_tensors[2 * fields :]
        inverse, other_inverse, log_weights, log_total, count, *kept = saved
        others = None if other_inverse is None else Prepared(*ctx.saved_tensors[fields : 2 * fields])
        rule, plan = ctx.rule, ctx.plan
        scratch, remaining = Scratch(), iter(kept)
        slopes = _Slopes(
            positive=-log_total,
            negative=log_weights - log_total,
            total=grad_log_total / rule.temperature,
            mean=grad_mean_positive / (count * rule.temperature),
        )
        slopes = slopes.factors() if plan.bounded else slopes
        grad = torch.zeros_like(batch.features)  # (n, d)
        # (m, d); None for a memory's, which have no gradient
        grad_others = torch.zeros_like(others.features) if others is not None and ctx.needs_input_grad[1] else None
        with torch.autocast(grad.device.type, enabled=False):
            for sweep in plan.sweeps:
                walk = _Walk.over(batch, others, sweep, rule, scratch)
                rows, columns = walk.rows.features, walk.columns.features  # (blocks, block, d) each
                grad_rows = scratch.take("grad rows", rows.shape, rows).zero_()  # (blocks, block, d)
                grad_columns = grad_rows
                if not sweep.own and grad_others is not None:
                    grad_columns = scratch.take("grad columns", columns.shape, columns).zero_()
                named = zip(_Slopes._fields, slopes, strict=True)
                ordered = _Slopes(*(scratch.blocks(*one, sweep.rows, sweep) for one in named))
                for tiles in sweep.batches:
                    slope = ordered.grad_tiles(walk, tiles, next(remaining), bounded=plan.bounded)  # (t, r, c)
                    add_product(grad_rows, tiles.rows, slope, at(columns, tiles.columns, tiles.width))
                    for side in walk.candidates(tiles) if sweep.own or grad_others is not None else ():
                        seen = side.part(slope).transpose(1, 2)  # (t, c, r)
                        add_product(grad_columns, side.blocks, seen, at(rows, tiles.rows, tiles.height))
                grad.index_add_(0, sweep.rows, grad_rows.flatten(0, 1)[: len(grad)])
                if grad_others is not None and not sweep.own:
                    grad_others.index_add_(0, sweep.columns, grad_columns.flatten(0, 1)[: len(grad_others)])
        through_unit_(grad, batch.features, inverse)
        if grad_others is not None and others is not None:
            through_unit_(grad_others, others.features, other_inverse)
        return grad, grad_others, *(None,) * 5
