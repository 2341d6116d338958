"""A blend of candidates: adds one at a time, as long as rows that did not choose it confirm it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conr.rare.labels import Floats, Positions

_MOST = 25  # candidates in a blend, each as often as it was added
_ROUNDING = 1e-12


class JudgedRows(NamedTuple):
    """Rows on which candidates are judged; models that predicted them have not seen them.

    Attributes:
        labels: shape (n,).
        fold: of each row, shape (n,).
        shares: of each row in the objective, shape (n,).
        common: 1 for rows that `max_loss` looks at, 0 for others, shape (n,).
    """

    labels: Floats
    fold: Positions
    shares: Floats
    common: Floats

    def some(self, rows: NDArray[np.bool_]) -> "JudgedRows":
        """Some of the rows."""
        return JudgedRows(self.labels[rows], self.fold[rows], self.shares[rows], self.common[rows])


def blend(
    predictions: Floats, rows: JudgedRows, *, plain: NDArray[np.bool_] | None = None, max_loss: float | None = None
) -> Floats:
    r"""Weights of candidates, by greedy selection with replacement.

    The best single plain candidate is the start; the best of all takes its place if that is confirmed. A further step
    tries to add each candidate to the mean of those that are in. A step is confirmed so: in each fold it is judged by
    the candidate that the *other* folds would take, and the gain of the objective over all folds must exceed its
    standard error. Then the one that all rows would take is taken; else the blend stays as it is. Source: Caruana et
    al., "Ensemble Selection from Libraries of Models", ICML 2004; the confirmation is ours.

    Args:
        predictions: of each candidate, shape (candidates, n).
        rows: to judge them on, of two folds or more.
        plain: candidates that may be the start, shape (candidates,); all if None, or if none of them keeps to
            ``max_loss``.
        max_loss: how much larger the error over the common rows may be than that of the candidate that is best there,
            as a share; the excess and its standard error together stay below it. No limit if None.

    Returns:
        Shape (candidates,), none negative, of sum 1.
    """
    names, fold = np.unique(rows.fold, return_inverse=True)
    shares = rows.shares if rows.shares.any() else np.ones(len(fold))
    shares = shares / shares.sum()  # (n,)
    errors = np.abs(predictions - rows.labels)  # (candidates, n)
    best = np.argmin(errors @ rows.common)
    reference = errors[best]  # (n,)

    def better(tried: Floats, current: Floats, fine: NDArray[np.bool_]) -> int | None:
        """The candidate whose errors (candidates, n) are to replace the current ones (n,); None if not confirmed."""
        gains = current - tried  # (candidates, n)
        by_fold = np.stack([gains[:, fold == one] @ shares[fold == one] for one in range(len(names))])
        gain = by_fold.sum(axis=0)  # (candidates,)
        picked = np.where(fine, gain - by_fold, -np.inf).argmax(axis=1)  # (folds,): by the other folds
        confirmed = gains[picked[fold], np.arange(len(fold))]  # (n,)
        mean = float(shares @ confirmed)
        if not fine.any() or mean <= np.sqrt(shares**2 @ (confirmed - mean) ** 2):
            return None
        return int(np.argmax(np.where(fine, gain, -np.inf)))

    fine = _within(errors, reference, rows.common, max_loss)
    fine[best] = True
    first = fine & plain if plain is not None and (fine & plain).any() else fine
    added = int(np.argmin(np.where(first, errors @ shares, np.inf)))
    replacing = better(errors, errors[added], fine)
    if replacing is not None:
        added = replacing
    counts = np.zeros(len(predictions))
    counts[added] = 1
    total, current = predictions[added].copy(), errors[added]
    for size in range(2, _MOST + 1):
        tried = np.abs((total + predictions) / size - rows.labels)  # (candidates, n)
        found = better(tried, current, _within(tried, reference, rows.common, max_loss))
        if found is None:
            break
        counts[found] += 1
        total += predictions[found]
        current = tried[found]
    weights: Floats = counts / counts.sum()
    return weights


def held_out_blend(
    predictions: Floats, rows: JudgedRows, *, plain: NDArray[np.bool_] | None = None, max_loss: float | None = None
) -> Floats:
    """Predictions (n,) of blends that were chosen without the row's fold: what the choice is worth on new rows.

    Args:
        predictions: of each candidate, shape (candidates, n).
        rows: of three folds or more.
        plain: as of `blend`.
        max_loss: as of `blend`.
    """
    found = np.empty(len(rows.labels))
    for fold in np.unique(rows.fold):
        own = rows.fold == fold
        found[own] = blend(predictions[:, ~own], rows.some(~own), plain=plain, max_loss=max_loss) @ predictions[:, own]
    return found


def _within(errors: Floats, reference: Floats, common: Floats, max_loss: float | None) -> NDArray[np.bool_]:
    """Tell, shape (candidates,), if errors (candidates, n) over the common rows keep to the limit."""
    if max_loss is None or not common.any():
        return np.ones(len(errors), dtype=bool)
    shares = common / common.sum()
    excess = errors - (1 + max_loss) * reference  # (candidates, n)
    mean = excess @ shares  # (candidates,)
    found: NDArray[np.bool_] = mean + np.sqrt((excess - mean[:, None]) ** 2 @ shares**2) <= _ROUNDING
    return found
