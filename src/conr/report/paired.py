"""Paired tests: each method X against X + conr, over seeds and datasets."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from conr.report.aggregate import DatasetRuns
from conr.report.grid import PART, grid_methods, method_pairs, seed_errors
from conr.report.statistics import ALPHA, FEWEST_PAIRS, SignedRank, holm, signed_rank
from conr.report.tables import NOTHING, REGION_TITLES, join_words, signed_text
from conr.report.text_table import Entry, TextTable, rows_of

TESTED_REGIONS = ("all", "few", "many")


class PairedTest(NamedTuple):
    """X against X + part in one shot region.

    Attributes:
        method: X.
        combined: X + part.
        region: a shot region, or "all".
        outcome: the test of the relative differences of all pairs of runs.
        corrected_p: p-value after Holm, over all X of the region; NaN where there is none.
        median: median relative difference; negative if X + part has the lower errors.
        datasets: number of datasets with at least one pair.
        better: on how many of these the median relative difference is negative.
    """

    method: str
    combined: str
    region: str
    outcome: SignedRank
    corrected_p: float
    median: float
    datasets: int
    better: int


def relative_difference(before: float, after: float) -> float:
    r"""The difference of two errors in any unit, relative to their mean: from -2 to 2, below 0 if the second is lower.

    .. math:: d = \frac{e_2 - e_1}{(e_1 + e_2) / 2}

    Half and double the error are equally far from 0, and sizes are ordered as by :math:`|\log(e_2 / e_1)|`; two errors
    of zero are a tie.

    Example:
        >>> relative_difference(10.0, 9.0) == -relative_difference(9.0, 10.0)
        True
    """
    return 0.0 if before == after else 2 * (after - before) / (before + after)


def paired_differences(group: DatasetRuns, method: str, combined: str, region: str) -> dict[int, float]:
    """By seed, `relative_difference` of the errors of two methods on a dataset, where both are defined."""
    if method not in group.methods or combined not in group.methods:
        return {}
    before, after = seed_errors(group, method, region), seed_errors(group, combined, region)
    return {
        seed: relative_difference(before[seed], after[seed])
        for seed in sorted(before.keys() & after.keys())
        if not math.isnan(before[seed]) and not math.isnan(after[seed])
    }


def paired_tests(groups: Sequence[DatasetRuns], *, part: str = PART) -> list[PairedTest]:
    """Test every method X that was run with and without a part, in each of ``TESTED_REGIONS``.

    A pair is two runs of one dataset and one seed, in which the headline error is defined. Errors of all datasets are
    made comparable by `relative_difference`, then tested together by `signed_rank`.

    Args:
        groups: from `load_runs`.
        part: what is added to X, one of the names that ``+`` joins.

    Returns:
        Tests by region, then by X; empty if no X was run both ways.

    Notes:
        Seeds of one dataset are not independent evidence about other datasets: the p-value speaks of these datasets.
    """
    tests: list[PairedTest] = []
    pairs = method_pairs(grid_methods(groups), part)
    for region in TESTED_REGIONS:
        found = []
        for method, combined in pairs:
            by_dataset = [list(paired_differences(group, method, combined, region).values()) for group in groups]
            medians = [float(np.median(values)) for values in by_dataset if values]
            values = [value for one in by_dataset for value in one]
            outcome = signed_rank(values)
            median = float(np.median(values)) if values else math.nan
            better = sum(one < 0 for one in medians)
            found.append(PairedTest(method, combined, region, outcome, math.nan, median, len(medians), better))
        corrected = holm([test.outcome.p for test in found])
        tests += [test._replace(corrected_p=p) for test, p in zip(found, corrected, strict=True)]
    return tests


def paired_table(groups: Sequence[DatasetRuns], *, part: str = PART) -> TextTable | None:
    """`paired_tests` in words and numbers; None if no method was run both ways."""
    tests = paired_tests(groups, part=part)
    if not tests:
        return None
    parts = tuple(
        (REGION_TITLES[region], rows_of([_row(test) for test in tests if test.region == region]))
        for region in TESTED_REGIONS
    )
    caption = (
        f"Each method against the same method with {part}, in pairs of runs with the same dataset and seed. Change: "
        "median difference of the headline error relative to the mean of both, below 0 if the error falls. Effect: "
        f"rank-biserial correlation, from {signed_text(-1, 0)} ({part} always lowers the error) to +1 (always raises "
        "it). p: Wilcoxon's signed-rank test, exact, two-sided; corrected after Holm for the tests of one region."
    )
    header = ("method", "result", "wins / ties / losses", "datasets better", "change", "effect", "p", "corrected p")
    return TextTable(caption, header, parts, tuple(_notes(groups, part)))


def p_text(p: float) -> str:
    """A p-value as it is printed."""
    if math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _row(test: PairedTest) -> list[Entry | str]:
    outcome = test.outcome
    found = test.corrected_p <= ALPHA
    tested = outcome.wins + outcome.losses
    if math.isnan(outcome.p):
        verdict = f"too few pairs: {tested} differ, {FEWEST_PAIRS} are needed"
    elif not found:
        verdict = "no difference found"
    else:
        verdict = "lower error" if outcome.effect < 0 else "higher error"
    color = ("better" if outcome.effect < 0 else "worse") if found else ""
    return [
        f"{test.method} → {test.combined}",
        Entry(verdict, verdict=color),
        f"{outcome.wins} / {outcome.ties} / {outcome.losses}",
        f"{test.better} of {test.datasets}",
        NOTHING if math.isnan(test.median) else f"{signed_text(test.median * 100, 1)} %",
        signed_text(outcome.effect, 2),
        p_text(outcome.p),
        p_text(test.corrected_p),
    ]


def _notes(groups: Sequence[DatasetRuns], part: str) -> list[str]:
    notes = []
    for method, combined in method_pairs(grid_methods(groups), part):
        gone = []
        for group in groups:
            lacking = [one for one in (method, combined) if one not in group.methods]
            if len(lacking) == 1:
                gone.append(f"{group.dataset} (no {lacking[0]})")
            if lacking:
                continue
            seeds = {run.result.seed for one in (method, combined) for run in group.methods[one]}
            left = {
                region: seeds - paired_differences(group, method, combined, region).keys() for region in TESTED_REGIONS
            }
            same = all(one == left["all"] for one in left.values())
            for region in ("all",) if same else TESTED_REGIONS:
                if left[region]:
                    named = join_words(sorted(map(str, left[region])))
                    where = group.dataset if same else f"{group.dataset} ({REGION_TITLES[region]})"
                    gone.append(f"{where}, seed {named}: missing or undefined in one")
        if gone:
            notes.append(f"Not in the pairs of {method} and {combined}: {'; '.join(gone)}.")
    return notes
