"""Splitting a dataset into train, val and test so that validation and test are balanced over the labels."""

import numpy as np
import torch
from numpy.typing import NDArray

from conr._checks import check_number
from conr.density.bins import Bins, Labels

SPLITS = ("train", "val", "test")

Positions = NDArray[np.int64]
"""Positions of samples, shape (n,)."""


def balanced_split(
    labels: Labels, bins: Bins, *, most: int, seed: int, contents: Positions | None = None
) -> dict[str, Positions]:
    """Positions of train, val and test: of each bin a third, at most ``most``, to val and as many to test.

    This is the rule of the DIR benchmarks (Yang et al., ICML 2021), for bins of any kind: train keeps the imbalance,
    the other two are as even as the data allows. A bin of fewer than three samples lies in train alone.
    Rows are sorted and disjoint, and all are in one split.

    Args:
        labels: shape (n,) or (n, k), a tensor or an array, finite and inside the bins.
        bins: over the label dimensions.
        most: samples per bin in val, and in test.
        seed: of the draw; the global random state is left alone.
        contents: a number for each sample, shape (n,), equal for copies of one thing, which lie in one split: the first
            one is drawn for all of them.

    Raises:
        ValueError: ``most`` below 1 or a negative seed; no bin has three samples, so that val and test would be empty;
            a label that is NaN or outside the bins.

    Example:
        >>> import torch
        >>> labels = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0])
        >>> rows = balanced_split(labels, Bins([0, 1, 2, 3]), most=1, seed=0)
        >>> {split: labels[members].tolist() for split, members in rows.items()}
        {'train': [0.0, 0.0, 0.0, 0.0, 1.0, 2.0], 'val': [0.0, 1.0], 'test': [0.0, 1.0]}
    """
    check_number("most", most, low=1)
    check_number("seed", seed, low=0)
    if contents is not None:
        firsts = first_of_each(contents)
        chosen = balanced_split(labels[firsts], bins, most=most, seed=seed)
        return {split: all_with(contents, firsts[rows]) for split, rows in chosen.items()}
    index = bins.index(labels).cpu().numpy()  # (n,)
    random = np.random.default_rng(seed)
    rows: dict[str, list[Positions]] = {split: [] for split in SPLITS}
    for occupied in np.unique(index):
        members = random.permutation(np.flatnonzero(index == occupied))
        size = min(len(members) // 3, most)
        rows["val"].append(members[:size])
        rows["test"].append(members[size : 2 * size])
        rows["train"].append(members[2 * size :])
    if not any(map(len, rows["val"])):
        fullest = int(torch.from_numpy(index).bincount().max()) if len(index) else 0
        raise ValueError(
            f"labels: expected a bin of at least 3 samples, one each for train, val and test, got {len(index)} samples "
            f"with at most {fullest} in one of {len(bins)} bins (wider bins hold more)"
        )
    return {split: np.sort(np.concatenate(parts)) for split, parts in rows.items()}


def first_of_each(contents: Positions) -> Positions:
    """Position of the first sample with each content, sorted."""
    return np.sort(np.unique(contents, return_index=True)[1])


def all_with(contents: Positions, positions: Positions) -> Positions:
    """Positions of all samples whose content is that of one of some, sorted."""
    return np.flatnonzero(np.isin(contents, contents[positions]))
