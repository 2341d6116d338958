r"""Dist Loss: the batch of predictions should be distributed like the training labels (Nie et al., ICLR 2025)."""

from typing import Self

import torch
from torch import Tensor

from conr._checks import check_choice
from conr._tensor_checks import check_outputs, check_table
from conr.density import Bins
from conr.density.bins import finite_columns
from conr.density.kde import smoothed_quantiles
from conr.losses._common import FittedLoss, check_settings, paired_columns
from conr.losses.elementwise import ELEMENTWISE, elementwise_loss


def dist_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    quantiles: Tensor,
    coefficient: float = 1.0,
    kind: str = "l1",
    delta: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    r"""Error of each sample, plus its error to the value that its rank has under the label distribution.

    $$\ell_i = w_i \big[ f(\hat y_i - y_i) + \lambda f(\hat y_i - q_{r(i)}) \big], \qquad
      q_r = F^{-1}\Big(\frac{r - 1/2}{n}\Big)$$

    Symbols: $\hat y$ predictions, $y$ labels, $w$ weights, $r(i) \in 1..n$ the rank of prediction $i$ in the batch,
    $F^{-1}$ quantiles of the training labels' density, $q$ the pseudo-labels, $\lambda$ coefficient, $f$ as in
    `elementwise_loss`. Summed over the batch the second term is $\sum_r f(\hat y_{(r)} - q_r)$, the distance of two
    sorted lists. Several label dimensions are ranked one by one, each against its own quantiles.

    Differences from the paper and from the authors' code:

    - Exact ranks stand for the fast soft sort: a sorted prediction has a gradient almost everywhere.
    - Pseudo-labels are quantiles, the same for every batch of a size; the released code draws up rounded expected
      counts of each label and needs one fixed, large batch size.
    - Weights stay with their samples; the released code multiplies sorted terms by unsorted weights.

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        quantiles: of the training labels at even steps from 0 to 1, shape (q, k), q at least 2, not decreasing;
            between them is interpolated.
        coefficient: of the second term; not negative.
        kind: ``"l1"``, ``"mse"`` or ``"huber"``, for both terms.
        delta: where Huber turns linear, in label units; positive.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least.

    Raises:
        ValueError: shapes or devices differ; fewer than two quantiles; an unknown kind or reduction; coefficient
            negative; delta not positive.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        O(k n log n). Ranks are constants; equal predictions are ranked in their order in the batch. The smaller the
        batch, the less its labels look like the training labels, and the more the second term misleads: at least some
        hundred samples are advised.

    Example:
        >>> import torch
        >>> quantiles = torch.tensor([[0.0], [10.0]])
        >>> dist_loss(torch.tensor([4.0, 5.0]), torch.tensor([1.0, 9.0]), quantiles=quantiles, reduction="none")
        tensor([4.5000, 6.5000])
    """
    check_settings(coefficient=coefficient)
    check_outputs(predictions, labels)
    columns, _ = paired_columns(predictions, labels)  # (n, k)
    targets = _pseudo_labels(columns.detach(), quantiles).reshape(predictions.shape)
    own = elementwise_loss(predictions, labels, weights, kind=kind, delta=delta, reduction=reduction)
    # NOTE[DIFF]: no soft sort; and a weight stays with its sample, where the released code pairs it with a rank.
    sorted_term = elementwise_loss(predictions, targets, weights, kind=kind, delta=delta, reduction=reduction)
    return own + coefficient * sorted_term


def _pseudo_labels(columns: Tensor, quantiles: Tensor) -> Tensor:
    n, k = columns.shape
    check_table("quantiles", quantiles, ("q", k), columns.device)
    if len(quantiles) < 2:
        raise ValueError(f"quantiles: expected at least two, got shape {tuple(quantiles.shape)}")
    order = columns.argsort(dim=0, stable=True)  # (n, k)
    steps = torch.arange(n, device=columns.device).unsqueeze(1).expand(n, k)  # (n, k)
    rank = torch.empty_like(order).scatter_(0, order, steps)  # (n, k), from 0
    # NOTE[DIFF]: quantiles at (r - 1/2) / n for any n, instead of rounded expected counts of each label.
    position = (rank + 0.5).to(columns.dtype) / max(n, 1) * (len(quantiles) - 1)  # (n, k)
    before = position.long().clamp(max=len(quantiles) - 2)
    table = quantiles.to(columns.dtype)
    return torch.lerp(table.gather(0, before), table.gather(0, before + 1), position - before)


class DistLoss(FittedLoss):
    """Dist Loss as a module, which knows the training labels once `fit` has seen them; see `dist_loss`.

    Args:
        bandwidth: of the kernel density of the training labels, in their standard deviations; positive. 0.5 as in the
            authors' code.
        coefficient: see `dist_loss`.
        kind: see `dist_loss`.
        delta: see `dist_loss`.
        reduction: see `dist_loss`.

    Example:
        >>> import torch
        >>> criterion = DistLoss().fit(torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 9.0]))
        >>> criterion(torch.tensor([4.0, 5.0]), torch.tensor([1.0, 9.0]))
        tensor(5.0567)
    """

    function = staticmethod(dist_loss)
    tables = ("quantiles",)

    bandwidth: float
    quantiles: Tensor | None

    def __init__(
        self,
        *,
        bandwidth: float = 0.5,
        coefficient: float = 1.0,
        kind: str = "l1",
        delta: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        check_choice("kind", kind, ELEMENTWISE)
        super().__init__(bandwidth=bandwidth, coefficient=coefficient, kind=kind, delta=delta, reduction=reduction)

    def fit(self, labels: Tensor, bins: Bins | None = None) -> Self:  # noqa: ARG002  fits like other criteria
        """Learn the distribution of the training labels (n,) or (n, k); it needs no bins. Returns self.

        Raises:
            ValueError: no labels, or one that is not finite.
        """
        self.quantiles = smoothed_quantiles(finite_columns(labels), bandwidth=self.bandwidth, count=4097).float()
        return self
