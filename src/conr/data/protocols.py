r"""Protocols: which labels train sees and which the test asks for, on any dataset whose label is one number.

A benchmark's own splits test where the training set is thin. These draw the three splits anew, so that they test where
the training set has nothing (blind spot), next to nothing beyond its range (`Extrapolation`), or a valley
(`Interpolation`). Source: the protocols of Puetz's review of DIR on AgeDB, here for any bins and in label units.

NOTE[DIFF]: the original draws train with replacement, and the test from what is left; a third of its training rows are
copies, and the size of the test hangs on luck. Here nothing is drawn twice: the test is drawn first, then train.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conr._checks import check_number
from conr.data.dataset import Inputs, RegressionDataset, Splits
from conr.density import Bins
from conr.density.splits import SPLITS, Positions, first_of_each

Numbers = NDArray[np.floating[Any]]


@dataclass(kw_only=True, eq=False)
class Protocol(ABC):
    """Draws train, val and test from the samples of all splits, each sample at most once.

    The bins of the dataset count. In this order:

    1. test: ``test_per_bin`` samples of each bin that has so many;
    2. train and val: of each bin between the first and the last one tested, as many of the other samples as the
       protocol says;
    3. val: a random share of these.

    Protocols with equal ``test_per_bin``, ``within`` and ``seed`` share one test split.

    Args:
        test_per_bin: test samples of a bin; a bin with fewer samples is not tested.
        val_share: between 0 and 1.
        within: lowest and highest label that is used at all, in label units; all if None.
        seed: of the draw; the global random state is left alone.

    Raises:
        ValueError: a number outside its range.
    """

    test_per_bin: int = 50
    val_share: float = 0.1
    within: tuple[float, float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("test_per_bin", self.test_per_bin, low=1)
        check_number("seed", self.seed, low=0)
        if not 0 < self.val_share < 1:
            raise ValueError(f"val_share: expected a share between 0 and 1, got {self.val_share}")
        if self.within is not None:
            _check_interval("within", self.within)

    @property
    @abstractmethod
    def name(self) -> str:
        """Suffix of the dataset's name, as runs under different protocols are not compared."""

    @abstractmethod
    def most_to_train(self, labels: Numbers, counts: Numbers) -> Numbers:
        """Upper limit of samples for train and val together, per bin with samples.

        Args:
            labels: mean label of each such bin, shape (b,).
            counts: its samples, shape (b,).
        """

    def forbidden_in_training(self, labels: Numbers) -> NDArray[np.bool_]:
        """Mask of labels that may be in the test only, shape of labels; none by default."""
        return np.zeros(labels.shape, dtype=bool)

    def rows(self, labels: Tensor, bins: Bins, contents: Positions | None = None) -> dict[str, Positions]:
        """Positions of train, val and test, sorted and disjoint.

        Args:
            labels: of the samples of all splits, shape (n,).
            bins: over the labels.
            contents: a number for each sample, shape (n,), equal for copies of one thing, of which only the first one
                is used.

        Raises:
            ValueError: labels that are not one number each; a split that would be empty.
        """
        if labels.ndim != 1:
            raise ValueError(f"labels: expected one number per sample for a protocol, got shape {tuple(labels.shape)}")
        if contents is not None:
            firsts = first_of_each(contents)
            return {split: firsts[rows] for split, rows in self.rows(labels[torch.from_numpy(firsts)], bins).items()}
        # In the labels' own type, as in the bins: the float32 label 1.99 is not above 1.99.
        values = labels.to(torch.promote_types(labels.dtype, torch.float32)).cpu().numpy()  # (n,)
        random = np.random.default_rng(self.seed)
        members = self._shuffled_bins(values, bins.index(labels).cpu().numpy(), random)
        tested = [one for one, rows in members.items() if len(rows) >= self.test_per_bin]
        if not tested:
            fullest = max((len(rows) for rows in members.values()), default=0)
            raise ValueError(
                f"test_per_bin: expected a bin of at least {self.test_per_bin} samples to test, got at most {fullest} "
                f"in one of {len(bins)} bins; a smaller test_per_bin or wider bins help"
            )
        test = np.concatenate([members[one][: self.test_per_bin] for one in tested])
        means = np.array([values[rows].mean(dtype=np.float64) for rows in members.values()])  # (b,)
        limits = self.most_to_train(means, np.array([len(rows) for rows in members.values()], dtype=np.float64))
        train: list[Positions] = []
        for limit, (one, rows) in zip(limits.astype(int), members.items(), strict=True):
            if tested[0] <= one <= tested[-1]:
                left = rows[self.test_per_bin :] if one in tested else rows
                train.append(left[~self.forbidden_in_training(values[left])][:limit])
        chosen = random.permutation(np.concatenate(train))
        held_out = int(self.val_share * len(chosen))
        if held_out == 0:
            raise ValueError(
                f"val_share: expected at least one sample in val, got a share of {self.val_share} of the "
                f"{len(chosen)} samples that the test leaves"
            )
        parts = {"train": chosen[held_out:], "val": chosen[:held_out], "test": test}
        return {split: np.sort(rows) for split, rows in parts.items()}

    def _shuffled_bins(self, values: Numbers, index: Positions, random: np.random.Generator) -> dict[int, Positions]:
        low, high = (-np.inf, np.inf) if self.within is None else self.within
        order = random.permutation(np.flatnonzero((values >= low) & (values <= high)))
        order = order[np.argsort(index[order], kind="stable")]  # by bin, in random order within
        occupied, starts = np.unique(index[order], return_index=True)
        return dict(zip(occupied.tolist(), np.split(order, starts[1:]), strict=True))

    def apply(self, splits: Splits) -> Splits:
        """Splits drawn from the samples of all three given ones; raises as `rows`.

        A sample's input is read from the split that it comes from. A dataset whose inputs depend on their split, by
        random augmentation of the training split for example, needs `conr.data.RegressionData.load_with`.
        """
        pool = [getattr(splits, split) for split in SPLITS]
        known = [part.contents for part in pool if part.contents is not None]
        contents = np.concatenate(known) if len(known) == len(pool) else None
        rows = self.rows(torch.cat([part.labels for part in pool]), splits.bins, contents)
        return Splits(**{split: PooledRows(pool, rows[split]) for split in SPLITS}, bins=splits.bins)


@dataclass(kw_only=True, eq=False)
class Extrapolation(Protocol):
    r"""Train is a bump around ``center``, the test asks for all labels: also those beyond all that train has seen.

    $$n_b = \min\left( \lfloor 4 n w_b / \sum_a w_a \rfloor,\; \text{samples left in } b \right), \qquad
    w_b = e^{-(y_b - \mathrm{center})^2 / (2\, \mathrm{width}^2)}$$

    Symbols: $n$ samples of all splits, $y_b$ mean label of bin $b$, $n_b$ samples of the bin in train and val.

    Args:
        center: most frequent label, in label units.
        width: standard deviation of the bump, in label units; 7.07 (years) is the original's exp(-0.01 (y - 50)^2).

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> import torch
        >>> labels = torch.arange(10.0).repeat_interleave(40)
        >>> bins = Bins.by_width(width=1, low=0, high=10)
        >>> rows = Extrapolation(center=5, width=1, test_per_bin=10).rows(labels, bins)
        >>> labels[rows["train"]].unique().tolist()
        [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
        >>> labels[rows["test"]].unique().tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    """

    center: float
    width: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("center", self.center)
        check_number("width", self.width, low=0, open_low=True)

    @property
    def name(self) -> str:
        """The word and the parameters that shape train."""
        return f"extrapolation-{self.center:g}-{self.width:g}"

    def most_to_train(self, labels: Numbers, counts: Numbers) -> Numbers:
        """The equation of the class."""
        return _bumps(labels, counts, (self.center,), self.width)


@dataclass(kw_only=True, eq=False)
class Interpolation(Protocol):
    r"""Train has two or more bumps with next to nothing between them, the test asks for all labels.

    The equation is that of `Extrapolation`, with the sum of one bump per center as $w_b$.

    Args:
        centers: most frequent labels, in label units; two or more.
        width: standard deviation of each bump, in label units; 7.07 (years) is the original's.

    Raises:
        ValueError: fewer than two centers, or a number outside its range.
    """

    centers: Sequence[float]
    width: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.centers) < 2:
            raise ValueError(f"centers: expected at least two labels, got {list(self.centers)}")
        for center in self.centers:
            check_number("centers", center)
        check_number("width", self.width, low=0, open_low=True)

    @property
    def name(self) -> str:
        """The word and the parameters that shape train."""
        return "-".join(["interpolation", *(f"{center:g}" for center in self.centers), f"{self.width:g}"])

    def most_to_train(self, labels: Numbers, counts: Numbers) -> Numbers:
        """The equation of `Extrapolation`."""
        return _bumps(labels, counts, self.centers, self.width)


@dataclass(kw_only=True, eq=False)
class BlindSpot(Protocol):
    """Train and val have no label from ``low`` to ``high``; the test asks for them as for all others.

    Outside the gap train and val get all that the test leaves.

    Args:
        low: first label of the gap, in label units.
        high: last label of the gap, in label units; it belongs to the gap.

    Raises:
        ValueError: high below low, or a number outside its range.

    Example:
        >>> import torch
        >>> labels = torch.arange(10.0).repeat_interleave(40)
        >>> rows = BlindSpot(low=4, high=5, test_per_bin=10).rows(labels, Bins.by_width(width=1, low=0, high=10))
        >>> labels[rows["train"]].unique().tolist()
        [0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_interval("low and high", (self.low, self.high))

    @property
    def name(self) -> str:
        """The word and the gap."""
        return f"blind-spot-{self.low:g}-{self.high:g}"

    def most_to_train(self, labels: Numbers, counts: Numbers) -> Numbers:
        """No limit."""
        del labels
        return counts

    def forbidden_in_training(self, labels: Numbers) -> NDArray[np.bool_]:
        """Labels in the gap."""
        return (labels >= self.low) & (labels <= self.high)

    def rows(self, labels: Tensor, bins: Bins, contents: Positions | None = None) -> dict[str, Positions]:
        """As `Protocol.rows`; ValueError also if no label in the gap is tested."""
        rows = super().rows(labels, bins, contents)
        tested = labels[rows["test"]]
        if not ((tested >= self.low) & (tested <= self.high)).any():
            raise ValueError(
                f"low and high: expected a gap with a bin of at least {self.test_per_bin} samples to test "
                f"(test_per_bin), got no tested label in [{self.low:g}, {self.high:g}]; tested are {tested.min():g} to "
                f"{tested.max():g}"
            )
        return rows


class PooledRows(RegressionDataset):
    """Some samples of several datasets, counted through all of them; inputs are read when they are asked for.

    Args:
        pool: the datasets.
        rows: positions in the pool, shape (n,).
    """

    def __init__(self, pool: Sequence[RegressionDataset], rows: Positions) -> None:
        self.pool = list(pool)
        self.rows = rows
        self.labels = torch.cat([part.labels for part in pool])[torch.from_numpy(rows)]
        ids = [name for part in pool for name in part.ids]
        self.ids = [ids[row] for row in rows.tolist()]
        self._ends = np.cumsum([len(part) for part in pool])

    def __getitem__(self, index: int) -> tuple[Inputs, Tensor]:
        row = int(self.rows[index])
        part = int(np.searchsorted(self._ends, row, side="right"))
        return self.pool[part][row - (int(self._ends[part - 1]) if part else 0)]


def _bumps(labels: Numbers, counts: Numbers, centers: Sequence[float], width: float) -> Numbers:
    weights = np.exp(-((labels[:, None] - np.array(centers)) ** 2) / (2 * width**2)).sum(axis=1)  # (b,)
    if weights.sum() == 0:
        raise ValueError(f"width: expected labels within reach of {list(centers)}, got none with a width of {width:g}")
    return np.asarray(4 * counts.sum() * weights / weights.sum(), dtype=np.float64)


def _check_interval(name: str, interval: tuple[float, float]) -> None:
    low, high = interval
    check_number(name, low)
    check_number(name, high, low=low)
