import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from conr.density import Bins
from conr.rare import BinnedKFold, train_test_split_binned

SKEWED = np.random.default_rng(0).gamma(1.0, 10.0, 503)


def rows_per_fold(labels: NDArray[np.float64], folds: BinnedKFold, bins: Bins) -> NDArray[np.int64]:
    """Shape (folds, bins)."""
    index = bins.index(labels).numpy()
    return np.stack([np.bincount(index[test], minlength=len(bins)) for _, test in folds.split(labels, labels)])


@pytest.mark.parametrize("count", [2, 5, 7])
@pytest.mark.parametrize("seed", range(3))
def test_bins_and_sizes_of_folds_differ_by_one_at_most(count: int, seed: int) -> None:
    bins = Bins.by_width(SKEWED, width=2.5, low=0)
    folds = BinnedKFold(count, bins=bins, random_state=seed)
    rows = rows_per_fold(SKEWED, folds, bins)
    assert rows.sum() == len(SKEWED)
    assert np.ptp(rows, axis=0).max() <= 1
    assert np.ptp(rows.sum(axis=1)) <= 1
    rare = rows[:, rows.sum(axis=0) < count]  # as one, they are spread as well
    assert rare.sum() > count
    assert np.ptp(rare.sum(axis=1)) <= 4


def test_single_rows_are_spread_over_folds() -> None:
    labels = np.arange(20.0)  # a bin each
    assert [len(test) for _, test in BinnedKFold(5, random_state=0).split(labels, labels)] == [4] * 5
    drawn = {tuple(BinnedKFold(5, random_state=seed).assign(labels)) for seed in range(4)}
    assert len(drawn) == 4
    again = BinnedKFold(5, random_state=1)
    assert again.assign(labels).tolist() == again.assign(labels).tolist()


def test_several_label_dimensions_and_equal_labels() -> None:
    grid = np.random.default_rng(0).normal(size=(100, 2))
    assert np.bincount(BinnedKFold(4, random_state=0).assign(grid)).tolist() == [25] * 4
    grid[:, 0] = 1.0
    assert np.bincount(BinnedKFold(4, random_state=0).assign(grid)).tolist() == [25] * 4
    equal = BinnedKFold(4, random_state=0).assign(np.full(10, 1e20))
    assert sorted(np.bincount(equal)) == [2, 2, 3, 3]


def test_folds_work_where_scikit_learn_takes_folds() -> None:
    inputs = SKEWED[:, None] ** 0.5
    folds = BinnedKFold(3, random_state=0)
    assert repr(folds) == "BinnedKFold(bins=None, n_splits=3, random_state=0)"
    assert len(cross_val_score(Ridge(), inputs, SKEWED, cv=folds)) == folds.get_n_splits() == 3
    search = clone(GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=folds))
    assert search.fit(pd.DataFrame({"x": inputs[:, 0]}), pd.Series(SKEWED)).best_params_["alpha"] in (0.1, 1.0)


@pytest.mark.parametrize(
    ("labels", "folds", "message"),
    [
        (np.arange(3.0), BinnedKFold(4), "n_splits: expected at most n_samples = 3, got 4"),
        (np.array([1.0, np.nan]), BinnedKFold(2), "contains NaN"),
        (None, BinnedKFold(2), "y: expected labels, got None"),
        (np.arange(3.0), BinnedKFold(1), "n_splits: expected a number of at least 2, got 1"),
        (np.arange(3.0), BinnedKFold(2, bins=Bins([[0, 1], [0, 1]])), r"bins: expected 1 label dimension\(s\)"),
    ],
)
def test_wrong_folds(labels: NDArray[np.float64], folds: BinnedKFold, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(folds.split(labels, labels))


def test_a_held_out_part_is_balanced() -> None:
    bins = Bins.by_width(SKEWED, width=5, low=0)
    rest, part = train_test_split_binned(SKEWED, test_size=0.2, bins=bins, random_state=0)
    all_of, held_out = (np.bincount(bins.index(one).numpy(), minlength=len(bins)) for one in (SKEWED, part))
    assert sorted([*rest, *part]) == sorted(SKEWED)
    assert 0.18 < len(part) / len(SKEWED) < 0.22
    assert (held_out == np.minimum(all_of // 3, held_out.max())).all()
    assert len(train_test_split_binned(SKEWED, test_size=1 / 3, bins=bins)[1]) == (all_of // 3).sum()


def test_a_held_out_part_keeps_the_kinds_of_arrays() -> None:
    n = len(SKEWED)
    frame = pd.DataFrame({"x": np.arange(n)}, index=np.arange(n) + 7)
    found = train_test_split_binned(
        frame, sparse.coo_array(np.eye(n)), list(range(n)), torch.arange(n), SKEWED, random_state=0
    )
    assert [type(one).__name__ for one in found[1::2]] == ["DataFrame", "csr_array", "list", "Tensor", "ndarray"]
    rows = found[5]
    assert found[1]["x"].tolist() == rows == found[7].tolist()
    assert found[9].tolist() == SKEWED[rows].tolist()
    assert (found[3].toarray().argmax(axis=1) == rows).all()


def test_wrong_splits() -> None:
    with pytest.raises(TypeError, match="arrays: expected at least the labels, got none"):
        train_test_split_binned()
    with pytest.raises(ValueError, match="test_size: expected at most a third"):
        train_test_split_binned(SKEWED, test_size=0.5)
    with pytest.raises(ValueError, match="expected a bin of at least 3 samples"):
        train_test_split_binned(np.arange(10.0))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        train_test_split_binned(SKEWED[1:], SKEWED)
