"""Where a part helps: the change of each method's error on each dataset when it is added, in numbers and in words."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from conr.report.aggregate import DatasetRuns
from conr.report.grid import PART, grid_methods, method_pairs
from conr.report.paired import paired_differences
from conr.report.tables import NOTHING, REGION_TITLES, join_words, signed_text
from conr.report.text_table import Entry, TextTable, rows_of

SHOWN_REGIONS = ("few", "all", "many")


class Change(NamedTuple):
    """What adding a part changes on one dataset in one shot region.

    Attributes:
        method: X, which is compared with X + part.
        median: median over seeds of the relative difference, below 0 if the error falls; NaN without pairs.
        lower: number of seeds in which the error falls.
        higher: number of seeds in which it rises.
        seeds: number of pairs.
    """

    method: str
    median: float
    lower: int
    higher: int
    seeds: int

    @property
    def clear(self) -> bool:
        """Whether all seeds, of which there are several, agree."""
        return self.seeds > 1 and self.seeds in (self.lower, self.higher)


def dataset_changes(group: DatasetRuns, region: str, *, part: str = PART) -> list[Change]:
    """The changes of all methods that were run on a dataset with and without a part; see `paired_tests`."""
    changes = []
    for method, combined in method_pairs(grid_methods([group]), part):
        found = list(paired_differences(group, method, combined, region).values())
        median = float(np.median(found)) if found else math.nan
        lower, higher = sum(one < 0 for one in found), sum(one > 0 for one in found)
        changes.append(Change(method, median, lower, higher, len(found)))
    return changes


def where_table(groups: Sequence[DatasetRuns], *, part: str = PART) -> TextTable | None:
    """Methods by datasets: what adding a part changes, by shot region; None if no method was run both ways."""
    methods = [method for method, _ in method_pairs(grid_methods(groups), part)]
    if not methods:
        return None
    parts = []
    for region in SHOWN_REGIONS:
        cells = {
            (group.dataset, change.method): _entry(change)
            for group in groups
            for change in dataset_changes(group, region, part=part)
        }
        lines = [[method, *(cells.get((group.dataset, method), NOTHING) for group in groups)] for method in methods]
        parts.append((REGION_TITLES[region], rows_of(lines)))
    caption = (
        f"Change of the headline error when {part} is added to a method: median over seeds, relative to the mean of "
        "both, below 0 if the error falls; in brackets the seeds in which it falls. Bold: it falls in all of several "
        "seeds."
    )
    return TextTable(caption, ("method", *(group.dataset for group in groups)), tuple(parts))


def where_sentences(groups: Sequence[DatasetRuns], region: str, *, part: str = PART) -> list[str]:
    """One sentence per dataset: in how many methods a part lowers the error of a shot region, and where clearly."""
    sentences = []
    for group in groups:
        changes = [one for one in dataset_changes(group, region, part=part) if one.seeds]
        if not changes:
            continue
        lower = sum(one.median < 0 for one in changes)
        middle = float(np.median([one.median for one in changes]))
        sentences.append(
            f"{group.dataset}: {part} lowers the {REGION_TITLES[region]} error of {lower} of {len(changes)} methods "
            f"(median change {_percent(middle)}). All seeds agree that it {_agreed(changes)}."
        )
    return sentences


def _agreed(changes: Sequence[Change]) -> str:
    falls = [one.method for one in changes if one.clear and one.lower]
    rises = [one.method for one in changes if one.clear and one.higher]
    said = [f"{word} with {join_words(names)}" for word, names in (("falls", falls), ("rises", rises)) if names]
    return " and ".join(said) or "falls or rises with none of them"


def _entry(change: Change) -> Entry:
    if not change.seeds:
        return Entry(NOTHING)
    clear = change.clear and change.lower > 0
    verdict = ("better" if change.lower else "worse") if change.clear else ""
    return Entry(_percent(change.median), f"{change.lower} of {change.seeds}", best=clear, verdict=verdict)


def _percent(difference: float) -> str:
    return f"{signed_text(difference * 100, 1)} %"
