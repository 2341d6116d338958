"""Statistics of comparisons: Wilcoxon's signed ranks, Holm's correction, and Friedman's and Nemenyi's average ranks."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_PAIRS = 6  # of five pairs even the clearest outcome has p = 2 / 2^5 = 0.0625
ALPHA = 0.05

Array = NDArray[np.float64]


class SignedRank(NamedTuple):
    """Counts, effect and test of paired differences around zero."""

    wins: int  # number of differences below zero: the second of the pair has the lower error
    ties: int  # number of differences that are zero
    losses: int  # number of differences above zero
    effect: float  # matched-pairs rank-biserial correlation, from -1 (all wins) to 1 (all losses); NaN if all are ties
    p: float  # two-sided p-value of Wilcoxon's test; NaN with fewer than `FEWEST_PAIRS` differences other than zero


class AverageRanks(NamedTuple):
    """Ranks of k methods over N datasets, 1 for the best."""

    ranks: Array  # average rank per method, shape (k,)
    chi2: float  # Friedman's statistic; NaN if all methods rank alike on every dataset
    p: float  # its p-value; NaN likewise
    critical_difference: float  # average ranks that differ by more differ significantly, after Nemenyi


def signed_rank(differences: ArrayLike) -> SignedRank:
    r"""Wilcoxon's signed-rank test of paired differences, with its effect size.

    .. math:: r = \frac{W_+ - W_-}{W_+ + W_-}, \qquad p = \Pr\left(|W_+ - W_-| \ge |w_+ - w_-|\right)

    with the sums :math:`W_+, W_-` of the ranks of :math:`|d_i|` over positive and negative differences (Kerby 2014 for
    :math:`r`; Wilcoxon 1945 for the test). Differences of zero are left out, equal sizes share their mean rank.

    Args:
        differences: shape (n,), finite; second minus first, so that a negative one is a win of the second.

    Returns:
        Counts, effect and p-value.

    Notes:
        The p-value is exact also with shared ranks: all :math:`2^n` signs are equally likely under the hypothesis, and
        the distribution of :math:`W_+` is counted up rank by rank in :math:`O(n^3)`.

    Example:
        >>> signed_rank([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0])
        SignedRank(wins=6, ties=0, losses=0, effect=-1.0, p=0.03125)
    """
    from scipy.stats import rankdata  # noqa: PLC0415  loads slowly

    values = np.asarray(differences, dtype=np.float64)
    nonzero = values[values != 0]
    wins, losses = int((nonzero < 0).sum()), int((nonzero > 0).sum())
    ties = len(values) - len(nonzero)
    if len(nonzero) == 0:
        return SignedRank(wins, ties, losses, math.nan, math.nan)
    doubled = np.rint(2 * rankdata(np.abs(nonzero))).astype(int)  # (n,), whole numbers with shared ranks too
    positive, total = int(doubled[nonzero > 0].sum()), int(doubled.sum())
    effect = (2 * positive - total) / total
    if len(nonzero) < FEWEST_PAIRS:
        return SignedRank(wins, ties, losses, effect, math.nan)
    share = np.zeros(total + 1)  # probability of each doubled W+
    share[0] = 1
    for rank in doubled:
        moved = np.zeros_like(share)
        moved[rank:] = share[: total + 1 - rank]
        share = (share + moved) / 2
    as_far = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * positive - total)
    return SignedRank(wins, ties, losses, effect, min(float(share[as_far].sum()), 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Holm's step-down correction for several tests.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min\left(1, (m - j + 1)\, p_{(j)}\right)

    with the m p-values in ascending order (Holm 1979). The chance of one or more false findings among all tests stays
    below alpha if those with :math:`\tilde p \le \alpha` are taken as found.

    Args:
        p_values: NaN for a test that was not made; it does not count in m.

    Returns:
        Corrected p-values in the given order; NaN stays.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for position, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - position) * p_values[index]))
        corrected[index] = highest
    return corrected


def average_ranks(errors: ArrayLike) -> AverageRanks:
    r"""Friedman's test of methods over datasets, and Nemenyi's critical difference of average ranks.

    .. math:: \chi^2_F = \frac{12 N}{k (k + 1)} \left( \sum_j R_j^2 - \frac{k (k + 1)^2}{4} \right), \qquad
        CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    with N datasets, k methods, average ranks :math:`R_j`, and :math:`q_\alpha` the quantile of the studentized range
    with infinite degrees of freedom over :math:`\sqrt 2` (Demsar 2006, sections 3.2.2 and 3.2.3); alpha is 0.05.

    Differences from the source: the statistic is divided by the correction for shared ranks, as
    ``scipy.stats.friedmanchisquare`` does; and the p-value is that of chi-square with k - 1 degrees of freedom, which
    is conservative for few datasets, where the F statistic of Iman and Davenport breaks down (it is infinite as soon as
    all datasets agree, even two).

    Args:
        errors: shape (N, k), finite, lower is better; N >= 2, k >= 3.

    Returns:
        Average ranks, statistic, p-value and critical difference.

    Raises:
        ValueError: another shape, or values that are not finite.

    Example:
        >>> found = average_ranks([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
        >>> found.ranks.tolist(), round(found.chi2, 6), round(found.critical_difference, 3)
        ([1.0, 2.5, 2.5], 3.0, 2.344)
    """
    from scipy import stats  # noqa: PLC0415  loads slowly

    values = np.asarray(errors, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 3:
        raise ValueError(f"errors: expected at least 2 datasets (rows) and 3 methods (columns), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("errors: expected finite numbers, got NaN or infinity")
    datasets, methods = values.shape
    ranks = stats.rankdata(values, axis=1)  # (N, k)
    quantile = stats.studentized_range.ppf(1 - ALPHA, methods, math.inf) / math.sqrt(2)
    difference = float(quantile) * math.sqrt(methods * (methods + 1) / (6 * datasets))
    if (ranks == ranks[:, :1]).all():
        return AverageRanks(ranks.mean(axis=0), math.nan, math.nan, difference)
    # NOTE[DIFF] ties are corrected for, and p is that of chi-square, not of Iman and Davenport's F.
    chi2, p = stats.friedmanchisquare(*values.T)
    return AverageRanks(ranks.mean(axis=0), float(chi2), float(p), difference)
