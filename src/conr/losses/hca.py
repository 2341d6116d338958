r"""HCA: classifiers from coarse to fine label bins, the coarse ones adjusting the finest (Xiong and Yao 2023)."""

from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from conr._checks import check_whole
from conr._tensor_checks import check_device, check_outputs
from conr.density import Bins, LabelDensity
from conr.losses._common import FittedLoss, check_settings, reduced_samples


def label_hierarchy(counts: Tensor, *, levels: int) -> Tensor:
    r"""Divide a row of bins in two, the parts in two, and so on.

    An interval of bins is cut where the sum of $\sqrt{N_b}$ over its left part comes nearest to half of that over the
    whole; an interval of one bin stays. The square root keeps stretches of rare labels from becoming one class.

    Args:
        counts: training samples of each bin, shape (bins,).
        levels: how often the intervals are divided.

    Returns:
        Shape (levels + 1, bins), int64, on the counts' device: of each bin the class on each level, counted from 0 from
        left to right. On the last level every bin is a class.

    Raises:
        ValueError: no bins, or a number below 1.

    Example:
        >>> import torch
        >>> label_hierarchy(torch.tensor([16, 9, 4, 1]), levels=2).tolist()
        [[0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]]
    """
    check_whole("levels", levels, low=1)
    if counts.ndim != 1 or len(counts) == 0:
        raise ValueError(f"counts: expected shape (bins,) with at least one bin, got {tuple(counts.shape)}")
    roots = counts.double().sqrt()
    intervals = [(0, len(counts))]
    rows = []
    for _ in range(levels):
        intervals = [part for interval in intervals for part in _halves(roots, *interval)]
        rows.append([number for number, (start, end) in enumerate(intervals) for _ in range(start, end)])
    rows.append(list(range(len(counts))))
    return torch.tensor(rows, device=counts.device)


def _halves(roots: Tensor, start: int, end: int) -> list[tuple[int, int]]:
    if end - start == 1:
        return [(start, end)]
    sums = roots[start:end].cumsum(0)  # (bins of the interval,)
    cut = start + 1 + int((sums[:-1] - sums[-1] / 2).abs().argmin())
    return [(start, cut), (cut, end)]


def hca_log_probabilities(outputs: Tensor, hierarchy: Tensor, *, sizes: Sequence[int]) -> Tensor:
    r"""Log-probabilities of the finest classes, adjusted by those of all coarser classes that they belong to.

    $$\log p(c) = \log p_L(c) + \sum_{\ell < L} \log p_\ell(h_\ell(c)) + \text{const}$$

    Symbols: $p_\ell$ the softmax of the outputs of level $\ell$, $L$ the finest level, $h_\ell(c)$ the class of bin c
    on level $\ell$.

    Args:
        outputs: logits of all levels side by side, shape (n, sum of sizes).
        hierarchy: see `label_hierarchy`, shape (levels + 1, bins).
        sizes: number of classes on each level.

    Returns:
        Shape (n, bins), float32 at least.

    Example:
        >>> import torch
        >>> hierarchy = label_hierarchy(torch.tensor([9, 1, 1]), levels=1)  # one bin against two
        >>> outputs = torch.tensor([[0.0, 2.0, 1.0, 0.5, 0.0]])
        >>> hca_log_probabilities(outputs, hierarchy, sizes=[2, 3]).exp()
        tensor([[0.1220, 0.5465, 0.3315]])
    """
    logits = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    per_level = torch.split(logits, list(sizes), dim=1)  # (n, classes) each
    adjusted = torch.stack(
        [F.log_softmax(level, dim=1)[:, classes] for level, classes in zip(per_level, hierarchy, strict=True)]
    ).sum(dim=0)  # (n, bins)
    return F.log_softmax(adjusted, dim=1)


def hca_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    bins: Bins,
    hierarchy: Tensor,
    class_weights: Tensor,
    sizes: Sequence[int],
    reduction: str = "mean",
) -> Tensor:
    r"""Cross-entropies of classifiers on all levels of a hierarchy of label bins.

    $$\ell_i = - w_i \sum_\ell u_\ell(h_\ell(b_i)) \, \log p_\ell(h_\ell(b_i))$$

    Symbols: $b_i$ bin of label i, $h_\ell$ its class on level $\ell$, $p_\ell$ the softmax of the predictions of that
    level, $u$ class_weights, $w$ weights. Source: Xiong and Yao, "Deep Imbalanced Regression via Hierarchical
    Classification Adjustment", 2023.

    Differences from the paper: levels are trained side by side on one encoder; the distillation of all levels into one
    classifier (HCA-d) is left out. The training code is not public.

    Args:
        predictions: logits of all levels side by side, shape (n, sum of sizes).
        labels: shape (n,) or (n, 1); beyond the bins they belong to the first or last one.
        weights: shape (n,); 1 if None.
        bins: of one label dimension.
        hierarchy: see `label_hierarchy`, shape (levels + 1, bins).
        class_weights: weight of the class of each bin on each level, shape (levels + 1, bins).
        sizes: number of classes on each level.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least.

    Raises:
        ValueError: shapes or devices differ; several label dimensions; an unknown reduction.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        O(n (classes of all levels)). Predictions may have a dimension of size 1 after the first, as labels.

    Example:
        >>> import torch
        >>> hierarchy = label_hierarchy(torch.tensor([9, 1, 1]), levels=1)
        >>> settings = {"hierarchy": hierarchy, "class_weights": torch.ones(2, 3), "sizes": [2, 3]}
        >>> hca_loss(torch.zeros(2, 5), torch.tensor([0.5, 2.5]), bins=Bins([0, 1, 2, 3]), **settings)  # log 2 + log 3
        tensor(1.7918)
    """
    check_settings(reduction=reduction)
    check_outputs(predictions, labels, (sum(sizes),))
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise ValueError(f"labels: expected one dimension, as HCA divides its range, got shape {tuple(labels.shape)}")
    check_device("class_weights", class_weights, predictions.device)
    index = bins.index(labels, check=False)  # (n,)
    logits = predictions.flatten(1).to(torch.promote_types(predictions.dtype, torch.float32))  # (n, sum of sizes)
    losses = logits.sum(dim=1) * 0 + labels.reshape(-1) * 0  # (n,); keeps NaN, and a graph without samples
    for level, part in enumerate(torch.split(logits, list(sizes), dim=1)):
        own = F.log_softmax(part, dim=1).gather(1, hierarchy[level][index].unsqueeze(1)).squeeze(1)  # (n,)
        losses = losses - class_weights[level][index].to(own.dtype) * own
    return reduced_samples(losses, weights, reduction)


class HCA(FittedLoss):
    r"""Hierarchical classification adjustment as a criterion, to go with `conr.models.HCAHead`; see `hca_loss`.

    A class is weighted by $N_c^{-q}$, scaled to mean 1 over the training samples on each level, where $N_c$ counts its
    training labels and $q$ is the power.

    Args:
        levels: how often the range of labels is divided, as often as the head's: 6 in the paper.
        power: $q$, not negative; 1 as in the paper.
        reduction: see `hca_loss`.

    Raises:
        ValueError: levels below 1, a negative power, an unknown reduction.

    Example:
        >>> import torch
        >>> criterion = HCA(levels=1).fit(torch.tensor([0.5, 0.6, 0.7, 1.5, 2.5]), Bins([0, 1, 2, 3]))
        >>> criterion(torch.zeros(2, 5), torch.tensor([0.5, 2.5]))
        tensor(1.9427)
    """

    function = staticmethod(hca_loss)
    tables = ("hierarchy", "class_weights")

    levels: int
    power: float
    hierarchy: Tensor | None
    class_weights: Tensor | None
    _bins: Bins
    _sizes: list[int]

    def __init__(self, *, levels: int = 6, power: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(levels=levels, power=power, reduction=reduction)

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        """Divide the range of the training labels (n,) or (n, 1) and weigh its classes. Returns self.

        Raises:
            ValueError: no labels; a label that is NaN or outside the bins; several label dimensions.
        """
        counts = hierarchy_counts(labels, bins)  # (bins,)
        hierarchy = label_hierarchy(counts, levels=self.levels)  # (levels + 1, bins)
        tables = []
        for classes in hierarchy:
            of_class = torch.zeros_like(counts).index_add(0, classes, counts)[classes].double()  # (bins,)
            table = of_class.clamp(min=1) ** -self.power  # (bins,)
            tables.append(table * (counts.sum() / (table * counts).sum()))
        self._bins = bins
        self._sizes = hierarchy_sizes(hierarchy)
        self.hierarchy = hierarchy
        self.class_weights = torch.stack(tables).float()
        return self

    def settings(self) -> dict[str, Any]:
        """Settings, learned tables and the bins that they are of."""
        return {**super().settings(), "bins": self._bins, "sizes": self._sizes}


def hierarchy_counts(labels: Tensor, bins: Bins) -> Tensor:
    """Training labels in each bin of one label dimension, shape (bins,)."""
    if bins.dimensions > 1:
        raise ValueError(f"labels: expected one dimension, as HCA divides its range, got bins over {bins.dimensions}")
    return LabelDensity().fit(labels, bins).counts


def hierarchy_sizes(hierarchy: Tensor) -> list[int]:
    """Number of classes on each level."""
    return [int(classes.max()) + 1 for classes in hierarchy]
