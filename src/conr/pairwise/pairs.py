"""The pair rule of ConR: which pairs attract, which repel and how strongly; and what every engine takes and returns."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from conr._checks import check_choice, check_number
from conr._torch import rounding
from conr.pairwise.distances import DISTANCES, Distance, check_distance, label_distance, real, wide_enough

LOG2_E = math.log2(math.e)
NOTHING = -1e30
"""Logarithm of an empty sum: exp2 of it is 0, and unlike minus infinity it can be subtracted from itself."""

LEAST_TEMPERATURE = 1e-37
"""Of a smaller one the inverse is infinite in float32."""

Push = str | Callable[[Tensor], Tensor]
"""``"exp"``, ``"linear"``, or an elementwise function of scaled label distances (n, m) to positive factors (n, m)."""

PUSHES = ("exp", "linear")


class Samples(NamedTuple):
    """A batch as the engines see it, or more candidates that anchors of a batch are compared with."""

    features: Tensor  # (n, d)
    labels: Tensor  # (n, k)
    predictions: Tensor  # (n, k)


def keys_of(samples: Samples) -> tuple[Tensor, Tensor]:
    """Labels and predictions, which are compared with the window."""
    # A function: torch.compile before 2.7 knows no slices or properties of a named tuple.
    return samples.labels, samples.predictions


class Prepared(NamedTuple):
    """Samples as the engines compare them.

    Two labels are within the window if their distance is at most the sum of their reaches: half of the window each, and
    what rounding may have added. The same holds for predictions.
    """

    features: Tensor  # (..., n, d)
    labels: Tensor  # (..., n, k)
    predictions: Tensor  # (..., n, k)
    label_reach: Tensor  # (..., n)
    prediction_reach: Tensor  # (..., n)


class Rule(NamedTuple):
    """Definition and weight of a pair: arguments of `conr.conr_loss`."""

    window: float
    distance: Distance
    distance_scale: float
    push: Push
    temperature: float
    exact: bool = False  # compare with the window itself, without an allowance for rounding

    def check(self) -> "Rule":
        """Return the rule; raise ValueError or TypeError for a number out of its range or an unknown name."""
        check_number("window", self.window, low=0, open_low=True)
        check_number("temperature", self.temperature, low=0, open_low=True)
        if self.temperature < LEAST_TEMPERATURE:
            raise ValueError(
                f"temperature: expected a number of at least {LEAST_TEMPERATURE:g}, got {self.temperature}"
            )
        check_number("distance_scale", self.distance_scale, low=0)
        if not callable(self.push):
            check_choice("push", self.push, PUSHES)
        if not callable(self.distance):
            check_choice("distance", self.distance, DISTANCES)
        if self.exact and callable(self.push):
            raise ValueError("reference: expected push 'exp' or 'linear', the released variants, got a function")
        return self

    def prepare(self, samples: Samples, dtype: torch.dtype | None = None) -> Prepared:
        """Samples with their reaches; labels and predictions at least in a dtype, by default one that holds them."""
        given = keys_of(samples)
        if dtype is None:
            dtype = wide_enough(given, self.window, self.distance_scale)
        keys = [real(one, dtype) for one in given]  # (n, k) each
        reaches = [self._reach(key, one.dtype) for key, one in zip(keys, given, strict=True)]  # (n,) each
        return Prepared(samples.features, *keys, *reaches)

    def _reach(self, values: Tensor, given: torch.dtype) -> Tensor:
        r"""Half of the window, plus what rounding may add to a distance from a label: (n, k) to (n,).

        Labels in steps of 0.1 lie 0.1 apart only up to rounding. So a distance counts as within the window $\omega$ if
        it is at most $\omega (1 + r) + r (|y_i| + |y_j|)$, where $|y|$ is the sum over dimensions and $r$ is `rounding`
        of the type that labels are given in: 2.4e-7 for float32, 4.4e-16 for float64, 4.9e-4 for float16, 3.9e-3 for
        bfloat16. Integers are exact (on a GPU and compiled, up to 2^24), and of a function as distance nobody knows how
        it magnifies rounding: there the last term is missing.
        """
        relative = 0.0 if self.exact else rounding(given)
        of_size = relative if given.is_floating_point and not callable(self.distance) else 0.0
        size = values.abs()  # (n, k)
        size = size.squeeze(1) if size.shape[1] == 1 else size.sum(dim=1)  # (n,); NaN or infinite if the label is
        size.mul_(of_size).add_(self.window / 2 * (1 + relative))
        if self.distance == "angular":
            size += 2 * min(of_size, rounding(values.dtype))  # of coordinates of unit vectors
        return size

    def between(self, first: Tensor, second: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Distances (..., n, m) of labels (..., n, k) and (..., m, k) that were checked before.

        The result is the caller's to change; it may be ``out``, of its shape.
        """
        if not callable(self.distance):
            return DISTANCES[self.distance](first, second, out=out)
        if first.ndim == 2:
            return label_distance(first, second, self.distance).clone()
        return torch.stack([label_distance(*pair, self.distance) for pair in zip(first, second, strict=True)])


def sort_keys(samples: Prepared, *, positives: bool) -> tuple[Tensor, Tensor]:
    """Keys (n, k) that bring pairs together and their reach (n,): labels for positives, predictions for negatives."""
    if positives:
        return samples.labels, samples.label_reach
    return samples.predictions, samples.prediction_reach


class Contrast(NamedTuple):
    """The two terms of every anchor's loss, and the sizes of its pair sets; each of shape (n,)."""

    log_total: Tensor  # log of the sum over positives and weighted negatives; 0 without pairs
    mean_positive: Tensor  # mean similarity of positives, over temperature; 0 without positives
    positives: Tensor  # how many, as floats
    negatives: Tensor  # how many, as floats


class PairSets(NamedTuple):
    """Pair sets of a batch; row i belongs to anchor i. m is n, plus the number of other candidates if there are any."""

    positives: Tensor  # (..., n, m): labels agree, without the anchor itself
    negatives: Tensor  # (..., n, m): predictions agree, labels do not
    label_distance: Tensor  # (..., n, m)


Take = Callable[[str, tuple[int, ...], Tensor], Tensor]
"""Numbers of any value for a purpose with a name, of a shape, like a tensor: new memory, or used for it before."""


def _new(name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:  # noqa: ARG001
    return like.new_empty(shape)


def find_pairs(
    rows: Prepared,
    columns: Prepared,
    rule: Rule,
    *,
    like: Tensor,
    diagonal: bool,
    positives: bool = True,
    negatives: bool = True,
    take: Take = _new,
) -> PairSets:
    r"""Tell which pairs of anchors and candidates attract and which repel: the one place that decides it.

    $P_i = \{j \neq i : d(y_i, y_j) \le \omega\}$ and
    $Q_i = \{q : d(y_i, y_q) > \omega,\; d(\hat y_i, \hat y_q) \le \omega\}$ (ConR, section 3.2).

    Args:
        rows: anchors, (..., n, k).
        columns: candidates, (..., m, k).
        rule: window and distance.
        like: a tensor of the masks' dtype: floats, with which arithmetic is much faster on a CPU than with bools.
        diagonal: whether the first n candidates are the anchors themselves.
        positives: whether positives are wanted; if not, their mask is empty.
        negatives: whether negatives are wanted.
        take: where results and intermediate results are put.

    Returns:
        Masks of 1 for pairs and 0 for others, and distances.
    """
    shape = (*rows.labels.shape[:-1], columns.labels.shape[-2])
    alike = apart = like.new_empty(0)
    between = rule.between(rows.labels, columns.labels, out=take("label distances", shape, rows.labels))  # (..., n, m)
    limit = torch.add(  # (..., n, m)
        rows.label_reach.unsqueeze(-1), columns.label_reach.unsqueeze(-2), out=take("limits", shape, rows.label_reach)
    )
    if positives:
        alike = torch.le(between, limit, out=take("positives", shape, like))  # (..., n, m)
        if diagonal and torch.compiler.is_compiling():  # torch 2.6 fills no diagonal of an unknown size
            alike = alike * (1 - torch.eye(shape[-1], dtype=alike.dtype, device=alike.device))
        elif diagonal:
            alike.diagonal(dim1=-2, dim2=-1).zero_()
    if negatives:
        apart = torch.gt(between, limit, out=take("negatives", shape, like))  # (..., n, m); 0 on the diagonal
        limit = torch.add(  # (..., n, m)
            rows.prediction_reach.unsqueeze(-1),
            columns.prediction_reach.unsqueeze(-2),
            out=take("limits", shape, rows.prediction_reach),
        )
        predicted = rule.between(
            rows.predictions, columns.predictions, out=take("prediction distances", shape, rows.predictions)
        )  # (..., n, m)
        apart.mul_(predicted.le_(limit))
    return PairSets(alike, apart, between)


def pair_sets(labels: Tensor, predictions: Tensor, *, window: float, distance: Distance) -> PairSets:
    """Positives and negatives of every anchor of a batch, (n, n) bool; see `find_pairs`.

    Args:
        labels: shape (n, k).
        predictions: shape (n, k).
        window: in label units.
        distance: see `label_distance`.
    """
    rule = Rule(window, distance, distance_scale=0.0, push="exp", temperature=1.0).check()
    batch = rule.prepare(Samples(labels, labels, predictions))
    found = find_pairs(batch, batch, rule, like=batch.label_reach, diagonal=True)
    return found._replace(positives=found.positives.bool(), negatives=found.negatives.bool())


def near_pairs(labels: Tensor, *, window: float, distance: Distance) -> tuple[Tensor, Tensor]:
    """Pairs of two samples of a batch whose labels are within a window, (n, n) bool, and all distances, (n, n).

    Args:
        labels: shape (n, k).
        window: in label units; 0 for labels that are equal up to rounding.
        distance: see `label_distance`.
    """
    check_distance(distance, labels.shape[1])
    rule = Rule(window, distance, distance_scale=0.0, push="exp", temperature=1.0)
    batch = rule.prepare(Samples(labels, labels, labels))
    found = find_pairs(batch, batch, rule, like=batch.label_reach, diagonal=True, negatives=False)
    return found.positives.bool(), found.label_distance


def distance_errors(labels: Tensor, distance: Distance) -> Tensor:
    """Rounding that may take from or add to a distance of two labels, (n, n); 0 for a function as distance.

    Half-precision labels count as they are: of a coarse grid, no two distances would differ.

    Args:
        labels: shape (n, k).
        distance: see `label_distance`.
    """
    rule = Rule(0.0, distance, distance_scale=0.0, push="exp", temperature=1.0)
    reach = rule.prepare(Samples(labels, real(labels) if labels.is_floating_point() else labels, labels)).label_reach
    return reach.unsqueeze(1) + reach


def log_push(scaled_distance: Tensor, push: Push) -> Tensor:
    r"""Logarithm of the push factor: $u$ for ``"exp"``, $\log u$ for ``"linear"``, $\log f(u)$ for a function.

    Args:
        scaled_distance: $u = \eta\, d(y_i, y_q)$, shape (n, m).
        push: see `Push`.

    Returns:
        Shape (n, m), without gradient.

    Raises:
        ValueError: a function that returns another shape.
    """
    if callable(push):
        factors = push(scaled_distance)
        if factors.shape != scaled_distance.shape:
            expected, got = tuple(scaled_distance.shape), tuple(factors.shape)
            raise ValueError(f"push: expected shape {expected} from the given function, got {got}")
        return factors.detach().to(scaled_distance.dtype).log()
    return scaled_distance if push == "exp" else scaled_distance.log()


def spoilt(numbers: Tensor) -> Tensor:
    """0 as a float32 scalar, or NaN if a number is infinite or none: added to a result, it hides neither."""
    return (0 * numbers).sum(dtype=torch.float32)  # times 0 before the sum, which could overflow


def bin_numbers(labels: Tensor, bin_width: float) -> Tensor:
    """Number of the bin of each label (n, k), whole numbers as floats: bins are centred at multiples of the width.

    Rounding rather than cutting at multiples: the float32 label 0.3 cannot fall out of the bin of 0.3 by its last bit.

    Args:
        labels: shape (n, k).
        bin_width: of every bin, in label units.
    """
    return torch.floor(real(labels) / bin_width + 0.5)


def equal_labels(labels: Tensor) -> Tensor:
    """Mask (n, n) of the pairs of labels (n, k) that are equal in all dimensions."""
    return (labels.unsqueeze(1) == labels.unsqueeze(0)).all(dim=2)
