"""Each method X against X + conr: paired tests over seeds and datasets, and the change on each dataset."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from conr.report.aggregate import BASELINE_NAMES, DatasetRuns
from conr.report.statistics import ALPHA, FEWEST_PAIRS, SignedRank, holm, signed_rank
from conr.report.summary import headline_metric
from conr.report.tables import NOTHING, REGION_TITLES, Entry, TextTable, join_words, percent_text, signed_text

PART = "conr"
TESTED_REGIONS = ("all", "few", "many")
SHOWN_REGIONS = ("few", "all", "many")


def without_part(method: str) -> str | None:
    """The method's name without conr: "" if it is the only ``+`` part, None if it has no such part."""
    parts = method.split("+")
    return "+".join(one for one in parts if one != PART) if PART in parts else None


def method_pairs(methods: Iterable[str]) -> list[tuple[str, str]]:
    """Methods that were run both without and with conr, as (X, X + conr).

    conr alone is paired with the method called "baseline" or "vanilla"; the order of parts does not matter.
    """
    names = list(methods)
    by_parts = {frozenset(name.split("+")): name for name in names}
    plain = next((one for one in BASELINE_NAMES if one in names), None)
    pairs = []
    for name in names:
        rest = without_part(name)
        partner = plain if rest == "" else by_parts.get(frozenset((rest or "").split("+")))
        if rest is not None and partner is not None:
            pairs.append((partner, name))
    return sorted(pairs, key=lambda pair: _order(pair[0]))


def grid_methods(groups: Sequence[DatasetRuns]) -> list[str]:
    """All methods of all datasets: baselines first, then by name, X and X + conr together."""
    return sorted({method for group in groups for method in group.methods}, key=_order)


def error_of(group: DatasetRuns, value: float) -> float:
    """A value of the headline metric as an error: 1 - value where higher is better."""
    return 1 - value if headline_metric(group).higher_is_better else value


class PairedTest(NamedTuple):
    """The test of X against X + conr in one shot region."""

    method: str  # X
    combined: str  # X + conr
    region: str  # a shot region, or "all"
    outcome: SignedRank  # the test of the relative differences of all pairs of runs
    corrected_p: float  # p-value after Holm, over all X of the region; NaN where there is none
    median: float  # median relative difference; negative if X + conr has the lower errors
    datasets: int  # number of datasets with at least one pair
    better: int  # on how many of these the median relative difference is negative


class Change(NamedTuple):
    """The change that conr makes to one method, on one dataset in one shot region."""

    method: str  # X, which is compared with X + conr
    median: float  # median over seeds of the relative difference, below 0 if the error falls; NaN without pairs
    lower: int  # number of seeds in which the error falls
    higher: int  # number of seeds in which it rises
    seeds: int  # number of pairs

    @property
    def clear(self) -> bool:
        """Agreement of all seeds, of which there are several."""
        return self.seeds > 1 and self.seeds in (self.lower, self.higher)


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
    before, after = _seed_errors(group, method, region), _seed_errors(group, combined, region)
    return {
        seed: relative_difference(before[seed], after[seed])
        for seed in sorted(before.keys() & after.keys())
        if not math.isnan(before[seed]) and not math.isnan(after[seed])
    }


def paired_tests(groups: Sequence[DatasetRuns]) -> list[PairedTest]:
    """Test every method X that was run with and without conr, in each of ``TESTED_REGIONS``.

    A pair is two runs of one dataset and one seed, in which the headline error is defined. Errors of all datasets are
    made comparable by `relative_difference`, then tested together by `signed_rank`.

    Args:
        groups: from `load_runs`.

    Returns:
        Tests by region, then by X; empty if no X was run both ways.

    Notes:
        Seeds of one dataset are not independent evidence about other datasets: the p-value speaks of these datasets.
    """
    tests: list[PairedTest] = []
    for region in TESTED_REGIONS:
        found = []
        for method, combined in method_pairs(grid_methods(groups)):
            by_dataset = [list(paired_differences(group, method, combined, region).values()) for group in groups]
            medians = [_median(values) for values in by_dataset if values]
            values = [value for one in by_dataset for value in one]
            better = sum(one < 0 for one in medians)
            test = signed_rank(values)
            found.append(PairedTest(method, combined, region, test, math.nan, _median(values), len(medians), better))
        corrected = holm([test.outcome.p for test in found])
        tests += [test._replace(corrected_p=p) for test, p in zip(found, corrected, strict=True)]
    return tests


def paired_table(groups: Sequence[DatasetRuns]) -> TextTable | None:
    """Put `paired_tests` in words and numbers; None if no method was run both ways."""
    tests = paired_tests(groups)
    if not tests:
        return None
    return TextTable.of(
        f"Each method against the same method with {PART}, in pairs of runs with the same dataset and seed. Change: "
        "median difference of the headline error relative to the mean of both, below 0 if the error falls. Effect: "
        f"rank-biserial correlation, from {signed_text(-1, 0)} ({PART} always lowers the error) to +1 (always raises "
        "it). p: Wilcoxon's signed-rank test, exact, two-sided; corrected after Holm for the tests of one region.",
        ("method", "result", "wins / ties / losses", "datasets better", "change", "effect", "p", "corrected p"),
        parts=[
            (REGION_TITLES[region], [_test_row(test) for test in tests if test.region == region])
            for region in TESTED_REGIONS
        ],
        notes=_left_out(groups),
    )


def dataset_changes(group: DatasetRuns, region: str) -> list[Change]:
    """The changes of all methods that were run on a dataset with and without conr; see `paired_tests`."""
    changes = []
    for method, combined in method_pairs(group.methods):
        found = list(paired_differences(group, method, combined, region).values())
        lower, higher = sum(one < 0 for one in found), sum(one > 0 for one in found)
        changes.append(Change(method, _median(found), lower, higher, len(found)))
    return changes


def changes_table(groups: Sequence[DatasetRuns]) -> TextTable | None:
    """Methods by datasets: the change that conr makes, by shot region; None if no method was run both ways."""
    methods = [method for method, _ in method_pairs(grid_methods(groups))]
    if not methods:
        return None
    parts = []
    for region in SHOWN_REGIONS:
        cells = {
            (group.dataset, change.method): _change_entry(change)
            for group in groups
            for change in dataset_changes(group, region)
        }
        lines = [[method, *(cells.get((group.dataset, method), NOTHING) for group in groups)] for method in methods]
        parts.append((REGION_TITLES[region], lines))
    return TextTable.of(
        f"Change of the headline error when {PART} is added to a method: median over seeds, relative to the mean of "
        "both, below 0 if the error falls; in brackets the seeds in which it falls. Bold: it falls in all of several "
        "seeds.",
        ("method", *(group.dataset for group in groups)),
        parts=parts,
    )


def changes_sentences(groups: Sequence[DatasetRuns], region: str) -> list[str]:
    """Say for each dataset in how many methods conr lowers the error of a shot region, and with which clearly."""
    sentences = []
    for group in groups:
        changes = [one for one in dataset_changes(group, region) if one.seeds]
        if not changes:
            continue
        lower = sum(one.median < 0 for one in changes)
        middle = percent_text(_median([one.median for one in changes]))
        falls = [one.method for one in changes if one.clear and one.lower]
        rises = [one.method for one in changes if one.clear and one.higher]
        said = [f"{word} with {join_words(names)}" for word, names in (("falls", falls), ("rises", rises)) if names]
        agreed = " and ".join(said) or "falls or rises with none of them"
        sentences.append(
            f"{group.dataset}: {PART} lowers the {REGION_TITLES[region]} error of {lower} of {len(changes)} methods "
            f"(median change {middle}). All seeds agree that it {agreed}."
        )
    return sentences


def p_text(p: float) -> str:
    """A p-value as it is printed."""
    if math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _order(method: str) -> tuple[bool, str, bool]:
    rest = without_part(method)
    plain = method if rest is None else rest
    is_baseline = plain in ("", *BASELINE_NAMES)
    return (not is_baseline, "" if is_baseline else plain, rest is not None)


def _seed_errors(group: DatasetRuns, method: str, region: str) -> dict[int, float]:
    """Headline error per seed, NaN where undefined; runs without a seed are left out."""
    name = headline_metric(group).name
    return {
        run.result.seed: error_of(group, run.result.metrics[region][name])
        for run in group.methods[method]
        if run.result.seed is not None
    }


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _test_row(test: PairedTest) -> list[Entry | str]:
    outcome = test.outcome
    found = test.corrected_p <= ALPHA
    lower = outcome.effect < 0
    if math.isnan(outcome.p):
        said = f"too few pairs: {outcome.wins + outcome.losses} differ, {FEWEST_PAIRS} are needed"
    elif not found:
        said = "no difference found"
    else:
        said = "lower error" if lower else "higher error"
    return [
        f"{test.method} → {test.combined}",
        Entry(said, verdict=("better" if lower else "worse") if found else ""),
        f"{outcome.wins} / {outcome.ties} / {outcome.losses}",
        f"{test.better} of {test.datasets}",
        percent_text(test.median),
        signed_text(outcome.effect, 2),
        p_text(outcome.p),
        p_text(test.corrected_p),
    ]


def _change_entry(change: Change) -> Entry:
    if not change.seeds:
        return Entry(NOTHING)
    verdict = ("better" if change.lower else "worse") if change.clear else ""
    text = percent_text(change.median)
    return Entry(text, f"{change.lower} of {change.seeds}", best=verdict == "better", verdict=verdict)


def _left_out(groups: Sequence[DatasetRuns]) -> list[str]:
    notes = []
    for method, combined in method_pairs(grid_methods(groups)):
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
