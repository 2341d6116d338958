r"""ACCon: a contrastive loss that turns far labels to wide angles (angle-compensated contrastive regularizer)."""

import math

import torch
from torch import Tensor

from conr._auto import Auto
from conr.losses._common import FeatureLoss, check_settings, checked_features, no_terms, nothing, reduced
from conr.pairwise import Distance, cosine_similarities, near_pairs


def accon_loss(
    features: Tensor,
    labels: Tensor,
    *,
    label_range: float,
    window: float = 0.0,
    temperature: float = 0.05,
    distance: Distance = "l2",
    weights: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Pull features of similar labels together, and hold all others at an angle that grows with the label distance.

    $$\ell_i = -\frac{1}{|P_i|} \sum_{j \in P_i} \frac{\cos\theta_{ij}}{\tau}
      + \log \Big( \sum_{p \in P_i} e^{\cos\theta_{ip} / \tau} + \sum_{q \notin P_i \cup \{i\}}
      e^{\cos(\theta_{iq} + \varphi_{iq}) / \tau} \Big), \qquad
      L = \frac{1}{n} \sum_{i : P_i \neq \emptyset} w_i \ell_i$$

    $$P_i = \{j \neq i : d(y_i, y_j) \le \omega\}, \qquad
      \varphi_{iq} = \pi \Big( 1 - \min\Big(1, \frac{d(y_i, y_q)}{R}\Big) \Big), \qquad
      \cos(\theta + \varphi) = \cos\theta \cos\varphi - \sin\theta \sin\varphi$$

    A negative's term is smallest at the angle $\theta_{iq} = \pi\, d(y_i, y_q) / R$: labels at opposite ends of the
    range get opposite features, and near labels are held near instead of pushed away.

    Symbols: $z$ features, $\theta_{ij}$ the angle between $z_i$ and $z_j$, $y$ labels, $w$ weights, $\omega$ window,
    $R$ label_range, $\tau$ temperature. Source: "ACCon: Angle-Compensated Contrastive Regularizer for Deep Regression",
    AAAI 2025.

    Differences from the paper and from the authors' code:

    - Positives are labels within ``window`` of each other, so that continuous labels have some, with the allowance for
      rounding of `conr.conr_loss`; the default of 0 is the paper's equality.
    - All logits take part in one stable log-sum-exp; in the released code only positives are shifted by the maximum.
    - The sine is exact, and equal or opposite features get no gradient from it; the released code adds a small number
      under the root and clamps the cosine, which removes the gradient of the cosine, too.
    - The released code's factor of temperature over base temperature is left to the coefficient of the loss.
    - Label distances above the range count as the range.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,), (n, 1) or (n, k), in label units.
        label_range: $R$, positive, in label units: the largest distance of two labels of the dataset.
        window: $\omega$, at least 0, in label units: largest distance of positives.
        temperature: positive; smaller is harder.
        distance: ``"l1"``, ``"l2"``, ``"linf"``, ``"angular"``, or a function; see `conr.pairwise.label_distance`.
        weights: factor of each anchor's term, shape (n,); 1 if None.
        reduction: ``"mean"`` over all n samples, ``"sum"``, or ``"none"``: shape (n,), 0 for anchors without positives.

    Returns:
        A scalar, or shape (n,): float32, or float64 for float64 features. Without positives 0, with a graph.

    Raises:
        ValueError: wrong rank, lengths or devices; label_range or temperature not positive; a negative window; an
            unknown distance or reduction.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        n^2 d time and n^2 memory.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> labels = torch.tensor([10.0, 10.0, 40.0, 40.0])
        >>> accon_loss(features, labels, label_range=60.0, temperature=1.0)
        tensor(0.3728)
    """
    check_settings(
        label_range=label_range, window=window, temperature=temperature, distance=distance, reduction=reduction
    )
    features, labels, weights = checked_features(features, labels, weights)
    n = len(features)
    if n < 2:
        return reduced(no_terms(features) + nothing(features, labels, weights), reduction)
    positives, between = near_pairs(labels, window=window, distance=distance)  # (n, n) each
    # NOTE[DIFF]: a window in place of equality.
    itself = torch.eye(n, dtype=torch.bool, device=features.device)  # (n, n)
    # NOTE[DIFF]: distances above the range count as the range.
    compensation = math.pi * (1 - (between / label_range).clamp(max=1).to(features.dtype))  # (n, n)
    cosines = cosine_similarities(features)  # (n, n)
    turned = cosines * compensation.cos() - _sines(cosines) * compensation.sin()  # (n, n)
    logits = torch.where(positives, cosines, turned) / temperature  # (n, n)
    # NOTE[DIFF]: one log-sum-exp over positives and negatives, both with the same shift.
    log_total = logits.masked_fill(itself, -math.inf).logsumexp(dim=1)  # (n,)
    count = positives.sum(dim=1).clamp(min=1)  # (n,)
    mean_positive = torch.where(positives, logits, 0).sum(dim=1) / count  # (n,)
    terms = torch.where(positives.any(dim=1), (log_total - mean_positive) * weights, 0)  # (n,)
    return reduced(terms + nothing(features, features, labels, weights), reduction)


def _sines(cosines: Tensor) -> Tensor:
    squared = 1 - cosines.square()
    # NOTE[DIFF]: at an angle of 0 or pi the sine has a kink; its gradient there is taken as 0. Rounding can make the
    # square negative. NaN must pass.
    straight = squared <= 0
    return torch.where(straight, 0, torch.where(straight, 1, squared).sqrt())


class ACConLoss(FeatureLoss):
    """ACCon as a module: stores and checks the hyper-parameters; `accon_loss` has the equation and all arguments.

    The range may be "auto": that of the training labels (`conr.methods.resolve`).
    """

    function = staticmethod(accon_loss)

    def __init__(
        self,
        *,
        label_range: float | Auto,
        window: float = 0.0,
        temperature: float = 0.05,
        distance: Distance = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            label_range=label_range, window=window, temperature=temperature, distance=distance, reduction=reduction
        )
