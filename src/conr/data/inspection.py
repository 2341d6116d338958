"""Inspection of a table's labels before anything is trained: how imbalanced, what can be tested, where to start."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from conr._hints import option, switch
from conr.density import REGIONS, Bins, ConRSettings, LabelDensity, suggest_scheme, suggest_settings
from conr.density.default_bins import label_bins, wider_width
from conr.density.splits import SPLITS
from conr.methods.lengths import default_batch_size
from conr.tables.source import TableFile

FEWEST_ROWS = 50
"""A table with fewer rows is refused: nothing could be said about its rare labels."""

FEWEST_TESTED = 5
"""A bin with fewer test rows is too empty to test: a mean over them says little."""

FEWEST_BINS = 10
MOST_UNTESTED = 0.25
MOST_OUTLIERS = 0.1
MOST_CROWDED = 0.1
_MOST_LISTED = 20


class Imbalance(NamedTuple):
    """Measures of how unevenly the training labels are spread."""

    ratio: float  # rows of the fullest bin over those of the emptiest that is not empty
    half: float  # the smallest share of the bins that holds half of the rows; 0.5 if they are spread evenly
    # share of the bins from the lowest to the highest label that are few-shot; of all bins with several label
    # dimensions
    few_bins: float
    few_rows: float  # share of the rows in few-shot bins
    # by region ("all", "many", "median", "few"), the mean absolute error on the test split of always answering with
    # the training median; None without test rows. What a model has to beat
    constant_errors: dict[str, float | None]


class Suggestion(NamedTuple):
    """Settings to start with."""

    bin_width: float | None  # of one label dimension, in label units; None with several
    scheme: str  # of `conr.density.LabelDensity`, for the weights of the criterion
    settings: ConRSettings  # of ConR, in label units, for an L1 criterion in label units
    standardised: ConRSettings  # the same for labels of mean 0 and deviation 1, as the presets of tables train


class Outliers(NamedTuple):
    """Labels so far from all others that nearly all bins lie empty between them."""

    target: str  # name of the label's column
    labels: list[float]  # these labels in ascending order, each value once
    rows: int  # number of rows that have one of them
    low: float  # lowest of the other labels
    high: float  # highest of the other labels
    bin_width: float  # width that bins of the other labels would have


@dataclass(frozen=True)
class Inspection:
    """Findings of `inspect_table`."""

    path: Path  # of the file
    label_name: str  # names of the targets
    label_unit: str  # of the label; may be empty
    rows: int  # of the file
    labels: dict[str, Tensor]  # by split, shape (n,) or (n, k)
    density: LabelDensity  # counts and shot regions of the training labels
    val_counts: Tensor  # validation rows per bin, shape (bins,)
    test_counts: Tensor  # test rows per bin, shape (bins,)
    imbalance: Imbalance  # of the training labels
    outliers: list[Outliers]  # at most one per target
    suggestion: Suggestion  # where to start
    notes: list[str]  # on what was understood of the file, and its columns by kind

    @property
    def untested(self) -> list[int]:
        """Bins, from the first to the last with rows, that have fewer than ``FEWEST_TESTED`` test rows."""
        total = self.density.counts.flatten() + self.val_counts + self.test_counts  # (bins,)
        return [one for one in _reached(total).tolist() if self.test_counts[one] < FEWEST_TESTED]


def inspect_table(file: TableFile, *, many: int = 100, few: int = 20, label_unit: str = "") -> Inspection:
    """Look at the labels of a table.

    Bins, splits and shot regions are those that a training run would have. The suggested bins are the first of these
    and wider ones (to 1, 2, 2.5, 5 times a power of ten) in which at most a quarter of the bins are too empty to test,
    or else the widest that leave ten bins. ConR's settings are those of `conr.density.suggest_settings` for the bins of
    the runs, the weights' scheme is that of `conr.density.suggest_scheme`. Outliers are the labels outside of the
    unbroken run of bins with rows around the fullest bin, if they are at most a tenth of the rows although that run is
    at most a tenth of the bins.

    Args:
        file: the table, with its targets.
        many: a bin with more training rows is many-shot.
        few: a bin with fewer training rows is few-shot.
        label_unit: for tables and pictures.

    Raises:
        FileNotFoundError: no such file.
        ValueError: fewer than ``FEWEST_ROWS`` rows, or anything that is wrong with the file; the message lists it.
        ImportError: a Parquet file, and pyarrow is not installed.
    """
    rows = file.count_rows()
    if rows < FEWEST_ROWS:
        raise ValueError(f"{file.path}: expected at least {FEWEST_ROWS} rows, got {rows}")
    problems = [] if file.skip_bad else file.problems()
    if problems:
        more = [f"... and {len(problems) - _MOST_LISTED} more"] if len(problems) > _MOST_LISTED else []
        left_out = f"{switch('skip_bad')} leaves such rows and columns out"
        way_round = f"({left_out}, {option('ignore')} names columns that are no inputs)"
        can_go = any(words in one for one in problems for words in (", row ", "none in any row", "different texts"))
        raise ValueError("\n".join([*problems[:_MOST_LISTED], *more, *([way_round] if can_go else [])]))
    content = file.content()
    bins, every = content.bins, content.labels.float()
    try:
        positions = file.split(content)
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from error
    labels = {split: every[torch.from_numpy(positions[split])] for split in SPLITS}
    train = labels["train"]
    density = LabelDensity(many=many, few=few).fit(train, bins)
    mean, std = train.double().mean(dim=0), train.double().std(dim=0, correction=0)
    scaled = Bins([((edges - m) / s).tolist() for edges, m, s in zip(bins.edges, *_columns(mean, std), strict=True)])
    batch_size = default_batch_size(len(train))
    return Inspection(
        path=file.path,
        label_name=", ".join(content.targets),
        label_unit=label_unit,
        rows=rows,
        labels=labels,
        density=density,
        val_counts=_counts(labels["val"], bins),
        test_counts=_counts(labels["test"], bins),
        imbalance=_imbalance(labels, density),
        outliers=_outliers(content.targets, content.labels, bins),
        suggestion=Suggestion(
            bin_width=_suggested_width(every, bins, len(labels["test"]) / len(every)),
            scheme=suggest_scheme(density.counts),
            settings=suggest_settings(train, bins, batch_size=batch_size),
            standardised=suggest_settings((train.double() - mean) / std, scaled, batch_size=batch_size),
        ),
        notes=[*content.notes, content.summary()],
    )


def _columns(*values: Tensor) -> list[list[float]]:
    return [value.reshape(-1).tolist() for value in values]


def _counts(labels: Tensor, bins: Bins) -> Tensor:
    return bins.index(labels).bincount(minlength=len(bins))


def _reached(counts: Tensor) -> Tensor:
    """Bins from the first to the last that has rows; with a grid of bins this is nearly all of them."""
    occupied = counts.nonzero().flatten()
    return torch.arange(int(occupied[0]), int(occupied[-1]) + 1)


def _imbalance(labels: dict[str, Tensor], density: LabelDensity) -> Imbalance:
    counts = density.counts.flatten()  # (bins,)
    few = density.region_of_bin == REGIONS.index("few")  # (bins,)
    reached = _reached(counts)
    fullest_first = counts[reached].sort(descending=True).values.double()
    half = int((fullest_first.cumsum(0) < 0.5 * counts.sum()).sum()) + 1
    before = float(fullest_first[: half - 1].sum())
    part = (0.5 * float(counts.sum()) - before) / float(fullest_first[half - 1])  # of the last bin that is needed
    return Imbalance(
        ratio=float(counts.max() / counts[counts > 0].min()),
        half=(half - 1 + part) / len(reached),
        few_bins=float(few[reached].double().mean()),
        few_rows=float(counts[few].sum() / counts.sum()),
        constant_errors=_constant_errors(labels, density),
    )


def _constant_errors(labels: dict[str, Tensor], density: LabelDensity) -> dict[str, float | None]:
    median, test = labels["train"].median(dim=0).values, labels["test"]
    errors = (test - median).abs().reshape(len(test), -1).mean(dim=1)  # (n,)
    regions = density.regions(test)
    parts = {"all": errors, **{region: errors[regions == number] for number, region in enumerate(REGIONS)}}
    return {region: float(part.double().mean()) if len(part) else None for region, part in parts.items()}


def _outliers(targets: list[str], labels: Tensor, bins: Bins) -> list[Outliers]:
    """Far labels of each target; labels have shape (n,) or (n, k)."""
    found = []
    for target, column, edges in zip(targets, labels.reshape(len(labels), -1).T, bins.edges, strict=True):
        index = Bins([edges.tolist()], clamp=True).index(column)  # (n,)
        occupied = index.bincount(minlength=len(edges) - 1) > 0  # (bins,)
        fullest = int(index.mode().values)
        gaps = (~occupied).nonzero().flatten()
        first = int(gaps[gaps < fullest].amax()) + 1 if (gaps < fullest).any() else 0
        last = int(gaps[gaps > fullest].amin()) if (gaps > fullest).any() else len(occupied)  # excluded
        near = (index >= first) & (index < last)  # (n,)
        others = column[near]
        low, high = float(others.min()), float(others.max())
        crowded = high - low <= MOST_CROWDED * float(column.max() - column.min())
        if crowded and 0 < int((~near).sum()) <= MOST_OUTLIERS * len(column):
            width = float(label_bins(others).edges[0].diff().median()) if low < high else 0.0
            found.append(Outliers(target, column[~near].unique().tolist(), int((~near).sum()), low, high, width))
    return found


def _suggested_width(every: Tensor, bins: Bins, share: float) -> float | None:
    if bins.dimensions > 1:
        return None
    whole = bool((every == every.round()).all())
    first = width = float(bins.edges[0].diff().median())
    if _untested_share(every, bins, share) <= MOST_UNTESTED:
        return width
    while True:
        following = wider_width(width, whole=whole)
        candidate = label_bins(every, width=following)
        if len(candidate) < FEWEST_BINS:
            return max(first, width)
        width = following
        if _untested_share(every, candidate, share) <= MOST_UNTESTED:
            return width


def _untested_share(labels: Tensor, bins: Bins, share: float) -> float:
    """Share of the bins with too few test rows, by the rule of `conr.data.balanced_split`."""
    counts = _counts(labels, bins)
    counts = counts[_reached(counts)]
    most = max(1, round(share * len(labels) / int((counts > 0).sum())))
    return float(((counts // 3).clamp(max=most) < FEWEST_TESTED).double().mean())
