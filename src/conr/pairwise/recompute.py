r"""The recomputing engine: walks over tiles of the similarities and keeps none of them.

Forward saves, for every anchor, only the log of its sum and its count of positives; backward computes each tile again.

Inside a tile, logarithms have base 2: on a CPU ``exp2`` is faster than ``exp``, which slows down on what underflows.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from conr.pairwise.pairs import LOG2_E, NOTHING, Contrast, Rule, Samples, within
from conr.pairwise.push import log_push
from conr.pairwise.sweeps import Sweep, Tile


def contrast_recomputed(
    samples: Samples, others: Samples | None, log_weights: Tensor, rule: Rule, sweeps: list[Sweep]
) -> Contrast:
    r"""What `contrast_dense` computes, without ever holding n x n numbers.

    Args:
        samples: the batch: its unit features (n, d), labels (n, k) and predictions (n, k).
        others: more candidates, which are no anchors: (m, d), (m, k), (m, k).
        log_weights: shape (n,): logarithm of each anchor's weight, which multiplies its negatives.
        rule: what makes and weighs pairs.
        sweeps: the walks; together they must visit every pair that counts once.

    Returns:
        The terms, differentiable once with respect to both unit features.

    Notes:
        Time follows the area of the sweeps. Saves the unit features and O(n) numbers; needs two more copies of the
        features and a few tiles while it runs.
    """
    problem = _Problem(samples[1:], None if others is None else others[1:], log_weights * LOG2_E, rule, sweeps)
    other_features = None if others is None else others.features
    return Contrast(*_Recomputed.apply(samples.features, other_features, problem))


class _Sums(NamedTuple):
    """What a sweep gathers for every anchor, each of shape (n,); logarithms of base 2."""

    log_positive: Tensor
    log_negative: Tensor
    similarity: Tensor  # of positives
    positives: Tensor
    negatives: Tensor

    @classmethod
    def empty(cls, like: Tensor) -> "_Sums":
        n = len(like)
        return cls(*(like.new_full((n,), NOTHING) for _ in range(2)), *(like.new_zeros(n) for _ in range(3)))

    def merge(self, order: Tensor, found: "_Sums") -> None:
        """Add what a sweep found for anchors in its own order."""
        for mine, new in zip(self, found, strict=True):
            placed = torch.empty_like(new).index_copy_(0, order, new)  # (n,)
            if mine is self.log_positive or mine is self.log_negative:
                torch.logaddexp2(mine, placed, out=mine)
            else:
                mine.add_(placed)


class _Part(NamedTuple):
    """One pair set inside a tile of shape (r, c)."""

    positive: bool
    mask: Tensor  # 1 for a pair of the set, else 0
    logits: Tensor  # log2 of what the pair adds to the sum (before the anchor's weight); about -1e30 outside the set


class _Walk(NamedTuple):
    """A sweep with its two sides in order."""

    rows: Samples  # the anchors
    columns: Samples  # the candidates
    sweep: Sweep
    rule: Rule

    def spans(self, tile: Tile) -> list[tuple[slice, int]]:
        """Which anchors see a tile: those in its rows (dim 1), in a mutual sweep also those in its columns (dim 0)."""
        rows, columns = slice(tile.top, tile.bottom), slice(tile.left, tile.right)
        return [(rows, 1), (columns, 0)] if self.sweep.mutual else [(rows, 1)]

    def parts(self, tile: Tile) -> tuple[Tensor, list[_Part]]:
        """Similarities of a tile, (r, c), in units of log2; and each pair set that the sweep looks for."""
        rule, parts = self.rule, []
        rows = Samples(*(tensor[tile.top : tile.bottom] for tensor in self.rows))
        columns = Samples(*(tensor[tile.left : tile.right] for tensor in self.columns))
        unused = rows.features.new_empty(())
        scale = LOG2_E / rule.temperature
        similarity = torch.addmm(unused, rows.features, columns.features.T, beta=0, alpha=scale)  # (r, c)
        between_labels = rule.between(rows.labels, columns.labels)  # (r, c)
        kept = between_labels.clone() if self.sweep.negatives else between_labels
        alike = within(kept, rule.window, similarity.dtype)  # (r, c)
        if self.sweep.negatives:
            between_predictions = rule.between(rows.predictions, columns.predictions)  # (r, c)
            mask = within(between_predictions, rule.window, similarity.dtype)  # (r, c)
            mask.addcmul_(mask, alike, value=-1)  # (r, c); 0 on the diagonal, where labels are alike
            scaled = between_labels.to(similarity.dtype).mul_(rule.distance_scale)  # (r, c)
            logits = torch.add(similarity, log_push(scaled, rule.push), alpha=LOG2_E)  # (r, c)
            parts.append(self._part(tile, mask, logits, positive=False))
        if self.sweep.positives:
            parts.append(self._part(tile, alike, similarity, positive=True))
        return similarity, parts

    def _part(self, tile: Tile, mask: Tensor, logits: Tensor, *, positive: bool) -> _Part:
        diagonal = tile.top - tile.left  # the column offset at which a sample meets itself
        if self.sweep.own and diagonal + tile.bottom - tile.top > 0:
            if self.sweep.mutual:
                mask.triu_(diagonal + 1)
            elif positive:
                mask.diagonal(diagonal).zero_()
        return _Part(positive, mask, torch.add(logits, mask - 1, alpha=-NOTHING))


def _log_sum(logits: Tensor, dim: int) -> Tensor:
    highest = logits.amax(dim=dim, keepdim=True).clamp_(min=NOTHING)  # a push of 0 gives minus infinity
    return (logits - highest).exp2_().sum(dim=dim).log2_().add_(highest.squeeze(dim))


def _absorb(sums: _Sums, walk: _Walk, tile: Tile) -> None:
    """Add a tile to the sums of the anchors that see it."""
    similarity, parts = walk.parts(tile)
    for span, dim in walk.spans(tile):
        for part in parts:
            log_sum = (sums.log_positive if part.positive else sums.log_negative)[span]
            torch.logaddexp2(log_sum, _log_sum(part.logits, dim), out=log_sum)
            (sums.positives if part.positive else sums.negatives)[span] += part.mask.sum(dim=dim)
            if part.positive:
                sums.similarity[span] += (similarity * part.mask).sum(dim=dim)


class _Problem(NamedTuple):
    """All that is constant."""

    keys: tuple[Tensor, Tensor]  # labels and predictions of the batch, (n, k) each
    other_keys: tuple[Tensor, Tensor] | None  # those of the others, (m, k) each
    log_weights: Tensor  # (n,); log2
    rule: Rule
    sweeps: list[Sweep]

    def walk(self, sweep: Sweep, features: Tensor, other_features: Tensor | None) -> _Walk:
        """Anchors and candidates in the order of a sweep."""
        rows = columns = Samples(features[sweep.rows], *(key[sweep.rows] for key in self.keys))
        if not sweep.own and other_features is not None and self.other_keys is not None:
            columns = Samples(other_features[sweep.columns], *(key[sweep.columns] for key in self.other_keys))
        return _Walk(rows, columns, sweep, self.rule)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, other_features: Tensor | None, problem: _Problem
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        total = _Sums.empty(features)
        with torch.autocast(features.device.type, enabled=False):
            for sweep in problem.sweeps:
                walk = problem.walk(sweep, features, other_features)
                found = _Sums.empty(features)
                for tile in sweep.tiles:
                    _absorb(found, walk, tile)
                total.merge(sweep.rows, found)
        log_total = torch.logaddexp2(total.log_positive, total.log_negative + problem.log_weights)  # (n,)
        log_total = torch.where(log_total < NOTHING / 2, 0, log_total)
        for tensor in (features, other_features, *problem.keys, *(problem.other_keys or ())):
            if tensor is not None:
                log_total += (0 * tensor).sum()  # a NaN reaches every anchor, also those whose tiles it is not in
        count = total.positives.clamp(min=1)  # (n,)
        ctx.save_for_backward(features, other_features, log_total, count)
        ctx.problem = problem
        ctx.mark_non_differentiable(total.positives, total.negatives)
        return log_total / LOG2_E, total.similarity / (count * LOG2_E), total.positives, total.negatives

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_log_total: Tensor, grad_mean_positive: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, None]:
        features, other_features, log_total, count = ctx.saved_tensors
        problem: _Problem = ctx.problem
        slopes = _Slopes(
            offset_positive=log_total,
            offset_negative=log_total - problem.log_weights,
            total=grad_log_total / problem.rule.temperature,
            mean=grad_mean_positive / (count * problem.rule.temperature),
        )
        grad = torch.zeros_like(features)  # (n, d)
        grad_others = None if other_features is None else torch.zeros_like(other_features)  # (m, d)
        with torch.autocast(features.device.type, enabled=False):
            for sweep in problem.sweeps:
                walk = problem.walk(sweep, features, other_features)
                grad_rows = torch.zeros_like(walk.rows.features)  # (n, d)
                grad_columns = grad_rows if sweep.own else torch.zeros_like(walk.columns.features)  # (m, d)
                ordered = _Slopes(*(slope[sweep.rows] for slope in slopes))
                for tile in sweep.tiles:
                    in_rows, in_columns = slice(tile.top, tile.bottom), slice(tile.left, tile.right)
                    grad_tile = _grad_tile(ordered, walk, tile)  # (r, c)
                    grad_rows[in_rows].addmm_(grad_tile, walk.columns.features[in_columns])
                    grad_columns[in_columns].addmm_(grad_tile.T, walk.rows.features[in_rows])
                grad.index_add_(0, sweep.rows, grad_rows)
                if grad_others is not None and not sweep.own:
                    grad_others.index_add_(0, sweep.columns, grad_columns)
        return grad, grad_others, None


class _Slopes(NamedTuple):
    """What backward needs of every anchor, each of shape (n,)."""

    offset_positive: Tensor  # log2 of the anchor's sum
    offset_negative: Tensor  # the same, before the anchor's weight
    total: Tensor  # gradient of log_total, over temperature
    mean: Tensor  # gradient of mean_positive, over temperature and count


def _grad_tile(slopes: _Slopes, walk: _Walk, tile: Tile) -> Tensor:
    """Gradient of a tile's similarities, (r, c)."""
    similarity, parts = walk.parts(tile)
    grad = torch.zeros_like(similarity)  # (r, c)
    for span, dim in walk.spans(tile):
        for part in parts:
            offset = (slopes.offset_positive if part.positive else slopes.offset_negative)[span].unsqueeze(dim)
            grad.addcmul_((part.logits - offset).exp2_(), slopes.total[span].unsqueeze(dim))
            if part.positive:
                grad.addcmul_(part.mask, slopes.mean[span].unsqueeze(dim))
    return grad
