"""Folds and held-out parts that preserve the distribution of a continuous label."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length, check_random_state

from conr._checks import check_number, check_whole
from conr.density.bins import Bins
from conr.density.splits import balanced_split
from conr.rare.labels import Positions, bin_index, checked_labels, chosen_bins, drawn_seed, take


class BinnedKFold(BaseCrossValidator):  # type: ignore[misc]
    r"""Folds in which all label bins are alike, for `cross_val_score` and `GridSearchCV`: stratified folds for numbers.

    Rows are sorted by bin, in random order within one, and dealt out round the folds:

    $$f(i) = \pi\big((r_i + s) \bmod K\big)$$

    Symbols: $r_i$ position of row i in that order, $K$ folds, $\pi$ a random order of the folds, $s$ a random start. So
    the sizes of folds, and the rows of each bin in them, differ by at most one. A bin with fewer rows than folds has
    them in different folds, and the next bin continues at the next fold, so no fold collects the rare labels. Source:
    ours; scikit-learn's StratifiedKFold takes classes only, and warns about one with fewer rows than folds.

    Args:
        n_splits: folds, at least 2.
        bins: of the labels; those of `conr.density.label_bins` if None.
        random_state: seed, generator or None (another draw at each call), as everywhere in scikit-learn.

    Raises:
        ValueError: from `split`, fewer rows than folds, no labels or one that is not finite.

    Example:
        >>> import numpy as np
        >>> y = np.array([1.0] * 8 + [2.0] * 4 + [9.0] * 2)
        >>> folds = BinnedKFold(2, random_state=0)
        >>> [sorted(y[test].tolist()) for _, test in folds.split(y, y)]
        [[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 9.0], [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 9.0]]
    """

    def __init__(self, n_splits: int = 5, *, bins: Bins | None = None, random_state: Any = None) -> None:
        self.n_splits = n_splits
        self.bins = bins
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002, N803
        """Number of folds; the arguments are not looked at."""
        return self.n_splits

    def split(
        self,
        X: Any,  # noqa: N803  scikit-learn's name
        y: Any = None,
        groups: Any = None,  # noqa: ARG002
    ) -> Iterator[tuple[Positions, Positions]]:
        """Rows of training and of test, for each fold.

        Args:
            X: as many rows as labels; its values are not looked at.
            y: labels, shape (n,) or (n, k).
            groups: not looked at, as by KFold.

        Raises:
            ValueError: see the class.
        """
        fold = self.assign(y)
        check_consistent_length(X, fold)
        for number in range(self.n_splits):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)

    def assign(self, y: Any) -> Positions:
        """Fold of each label, shape (n,): a draw of its own at each call, unless ``random_state`` is a seed.

        Args:
            y: labels, shape (n,) or (n, k).

        Raises:
            ValueError: see the class.
        """
        check_whole("n_splits", self.n_splits, low=2)
        labels = checked_labels(y)
        if len(labels) < self.n_splits:
            raise ValueError(f"n_splits: expected at most n_samples = {len(labels)}, got {self.n_splits}")
        random = check_random_state(self.random_state)
        index = bin_index(labels, chosen_bins(labels, self.bins))  # (n,)
        order = np.lexsort((random.permutation(len(index)), index))  # (n,)
        start, names = random.randint(self.n_splits), random.permutation(self.n_splits)
        fold = np.empty(len(index), dtype=np.int64)
        fold[order] = names[(np.arange(len(index)) + start) % self.n_splits]
        return fold


def train_test_split_binned(
    *arrays: Any, test_size: float = 0.2, bins: Bins | None = None, random_state: Any = None
) -> list[Any]:
    """Split rows so that the held-out part is balanced: about equally many of each label bin.

    A mean over such a part is a mean over labels rather than over the common ones. The rule is that of
    `conr.density.balanced_split`: of each bin at most a third, and at most m rows, are held out; m is the smallest
    number with which the part has its size, or the largest that changes anything.

    Args:
        *arrays: with one row per sample each, the last one the labels, shape (n,) or (n, k), as in ``X, y``.
        test_size: share of the rows that is held out if the bins allow it, above 0 and at most a third.
        bins: of the labels; those of `conr.density.label_bins` if None.
        random_state: seed, generator or None.

    Returns:
        Training and held-out part of the first array, then of the second, ..., as scikit-learn's `train_test_split`.

    Raises:
        TypeError: no arrays.
        ValueError: arrays of different lengths, a ``test_size`` outside its range, labels that are not finite, or no
            bin with three rows.

    Example:
        >>> import numpy as np
        >>> y = np.array([1.0] * 30 + [2.0] * 6 + [3.0] * 3)
        >>> rest, held_out = train_test_split_binned(y, test_size=0.1, random_state=0)
        >>> held_out.tolist()
        [1.0, 1.0, 2.0, 2.0, 3.0]
    """
    if not arrays:
        raise TypeError("arrays: expected at least the labels, got none")
    check_number("test_size", test_size, low=0, open_low=True)
    if test_size > 1 / 3:
        raise ValueError(f"test_size: expected at most a third, got {test_size}")
    check_consistent_length(*arrays)
    labels = checked_labels(arrays[-1])
    chosen = chosen_bins(labels, bins)
    thirds = np.bincount(bin_index(labels, chosen)) // 3  # (bins,)
    sizes = np.minimum(thirds, np.arange(1, max(thirds.max(), 1) + 1)[:, None]).sum(axis=1)  # of the part, by m
    most = min(int(np.searchsorted(sizes, round(test_size * len(labels)))) + 1, len(sizes))
    seed = drawn_seed(random_state)
    rows = balanced_split(labels, chosen, most=most, seed=seed)
    train = np.sort(np.concatenate((rows["train"], rows["val"])))
    return [take(array, part) for array in arrays for part in (train, rows["test"])]
