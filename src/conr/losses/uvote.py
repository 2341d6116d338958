r"""UVOTE: several heads that learn from differently weighted samples; the surest one answers (Jiang et al. 2023)."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from conr._checks import check_range, check_share
from conr._tensor_checks import check_outputs, check_table
from conr.density import Bins, LabelDensity
from conr.losses._common import FittedLoss, check_settings, reduced_samples

LOG_SCALE_RANGE = (-5.0, 5.0)


class LaplaceVote(NamedTuple):
    """Prediction of the surest of several heads."""

    predictions: Tensor  # (n,) or (n, k), in label units
    deviations: Tensor  # (n,) or (n, k): standard deviation that the head expects, in label units


def uvote_vote(outputs: Tensor) -> LaplaceVote:
    r"""Take the prediction of the head that expects the smallest error.

    $$m^* = \arg\min_m \sum_c \log b_{mc}, \qquad \hat y = \mu_{m^*}, \qquad \text{deviation} = \sqrt 2 \, b_{m^*}$$

    Symbols: $\mu$ and $\log b$ the outputs of each head $m$ for each label dimension $c$.

    Args:
        outputs: shape (n, heads, 2), or (n, k, heads, 2) for k label dimensions; the last dimension is $\mu$ and
            $\log b$, of which the latter is clamped to [-5, 5].

    Returns:
        Of the chosen head, float32 at least.

    Raises:
        ValueError: another shape.

    Example:
        >>> import torch
        >>> uvote_vote(torch.tensor([[[20.0, 1.0], [30.0, 0.5]]]))
        LaplaceVote(predictions=tensor([30.]), deviations=tensor([2.3316]))
    """
    if outputs.ndim not in (3, 4) or outputs.shape[-1] != 2 or outputs.shape[-2] == 0:
        raise ValueError(f"outputs: expected shape (n, heads, 2) or (n, k, heads, 2), got {tuple(outputs.shape)}")
    means, log_scales = _means_and_log_scales(outputs)  # (n, heads) or (n, k, heads)
    surest = (log_scales if outputs.ndim == 3 else log_scales.sum(dim=1, keepdim=True)).argmin(dim=-1, keepdim=True)
    surest = surest.expand(*means.shape[:-1], 1)  # (n, 1) or (n, k, 1)
    scales = log_scales.gather(-1, surest).squeeze(-1).exp()
    return LaplaceVote(means.gather(-1, surest).squeeze(-1), 2**0.5 * scales)


def uvote_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    head_weights: Tensor,
    progress: float | Tensor = 1.0,
    reduction: str = "mean",
) -> Tensor:
    r"""Laplace negative log-likelihoods of several heads, each with its own sample weights.

    $$\ell_i = w_i \sum_m c_m \, u_{im} \, \frac{1}{k} \sum_c \Big[ \log 2 b_{imc}
      + \frac{|y_{ic} - \mu_{imc}|}{b_{imc}} \Big], \qquad c_1 = 1, \quad c_{m > 1} = t^2$$

    Symbols: $\mu$ and $\log b$ the predictions, $y$ labels, $u$ head_weights, $w$ weights, $k$ label dimensions, $t$
    progress. Source: "Uncertainty Voting Ensemble for Imbalanced Deep Regression" (Jiang et al. 2023), where
    $c_{m > 1} = 1 - \alpha$ and $\alpha = 1 - t^2$: the heads for rare labels come in as training goes on.

    Differences from the paper: several label dimensions, whose losses are averaged; in training the epoch that begins
    counts as done, so that $t$ is never 0 and no head stays untrained.

    Args:
        predictions: outputs of the heads, shape (n, heads, 2), or (n, k, heads, 2) for k label dimensions: $\mu$ in
            label units and $\log b$, of which the latter is clamped to [-5, 5].
        labels: shape (n,) or (n, k).
        weights: shape (n,), for all heads; 1 if None.
        head_weights: weight of each sample for each head, shape (n, heads), each with mean 1 over the training samples.
        progress: share of the training that is done, in [0, 1].
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least. May be negative: it is a log-density.

    Raises:
        ValueError: shapes or devices differ; progress outside [0, 1]; an unknown reduction.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        O(n k heads). A $\log b$ outside its range has no gradient.

    Example:
        >>> import torch
        >>> outputs = torch.tensor([[[20.0, 1.0], [30.0, 0.5]]])
        >>> uvote_loss(outputs, torch.tensor([28.0]), head_weights=torch.tensor([[1.0, 2.0]]), progress=0.5)
        tensor(5.8393)
    """
    check_settings(reduction=reduction)
    if not isinstance(progress, Tensor):
        check_share("progress", progress)
    check_outputs(predictions, labels, ("heads", 2))
    n, heads = len(labels), predictions.shape[-2]
    check_table("head_weights", head_weights, (n, heads), predictions.device)
    means, log_scales = _means_and_log_scales(predictions)  # (n, heads) or (n, k, heads)
    errors = (labels.to(means.dtype).unsqueeze(-1) - means).abs()
    losses = math.log(2) + log_scales + errors * torch.exp(-log_scales)
    losses = losses.mean(dim=1) if labels.ndim == 2 else losses  # (n, heads)
    losses = losses * head_weights.to(losses.dtype)
    return reduced_samples(losses[:, 0] + progress**2 * losses[:, 1:].sum(dim=1), weights, reduction)


def _means_and_log_scales(outputs: Tensor) -> tuple[Tensor, Tensor]:
    means, log_scales = outputs.to(torch.promote_types(outputs.dtype, torch.float32)).unbind(-1)
    return means, log_scales.clamp(*LOG_SCALE_RANGE) + 0 * log_scales  # infinity is no large number, but an error


class UVOTE(FittedLoss):
    r"""UVOTE as a module, to go with `conr.models.UVOTEHead`; see `uvote_loss`.

    Head m weighs samples by $N_b^{-r_m}$, scaled to mean 1 over the training samples, where $N_b$ counts the training
    labels in the bin of a label and $r_m$ goes in even steps from 0 to 1.

    Args:
        heads: at least 1; 2 for ages and 3 for text similarity in the paper.
        clip: smallest and largest count that the last head inverts.
        reduction: see `uvote_loss`.

    Notes:
        `set_progress` says how much of the training is done; until then all heads learn alike.

    Example:
        >>> import torch
        >>> criterion = UVOTE(clip=(1, 1000)).fit(torch.tensor([0.5, 0.6, 0.7, 1.5]), Bins([0, 1, 2]))
        >>> criterion.head_weights(torch.tensor([0.5, 1.5]))
        tensor([[1.0000, 0.6667],
                [1.0000, 2.0000]])
    """

    function = staticmethod(uvote_loss)
    tables = ("weights_of_bin",)

    heads: int
    clip: tuple[float, float]
    reduction: str
    progress: Tensor
    weights_of_bin: Tensor | None
    _bins: Bins

    def __init__(self, *, heads: int = 2, clip: tuple[float, float] = (5.0, 1000.0), reduction: str = "mean") -> None:
        check_range("clip", clip)
        super().__init__(heads=heads, clip=clip, reduction=reduction)
        self.register_buffer("progress", torch.tensor(1.0, dtype=torch.float32), persistent=False)

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        """Count the training labels (n,) or (n, k) in bins. Returns self.

        Raises:
            ValueError: no labels; a label that is NaN or outside the bins.
        """
        counts = LabelDensity().fit(labels, bins).counts.flatten().double()  # (bins,)
        smallest = counts[counts > 0].min()
        tables = []
        for power in torch.linspace(0, 1, self.heads, dtype=torch.float32).tolist():
            clipped = counts.clamp(*self.clip) if power == 1 else counts.clamp(min=smallest)
            table = clipped**-power  # (bins,)
            tables.append(table * (counts.sum() / (table * counts).sum()))
        self._bins = bins
        self.weights_of_bin = torch.stack(tables, dim=1).float()  # (bins, heads)
        return self

    def set_progress(self, progress: float) -> None:
        """Set the share of the training that is done, in [0, 1]."""
        check_share("progress", progress)
        self.progress.fill_(progress)

    def head_weights(self, labels: Tensor) -> Tensor:
        """Weight of each sample for each head, shape (n, heads)."""
        return self.learned()["weights_of_bin"][self._bins.index(labels, check=False)]

    def forward(self, predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Loss of a batch: predictions (n, heads, 2) or (n, k, heads, 2), labels (n,) or (n, k), weights (n,)."""
        check_outputs(predictions, labels, (self.heads, 2))
        return uvote_loss(
            predictions,
            labels,
            weights,
            head_weights=self.head_weights(labels),
            progress=self.progress,
            reduction=self.reduction,
        )
