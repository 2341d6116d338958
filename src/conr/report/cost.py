"""Cost of methods: time per epoch and peak memory, relative to the baseline on the same hardware."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from conr.report.aggregate import DatasetRuns, spread
from conr.report.paired import grid_methods
from conr.report.tables import NOT_RUN, NOTHING, Entry, TextTable
from conr.runs.runs import Run

MEBIBYTE = 2**20


class Cost(NamedTuple):
    """Cost of one method on one dataset."""

    seconds: float  # per epoch, with validation; median over the runs, as a machine may be busy with something else
    memory: float  # peak in bytes; mean over the runs
    relative_seconds: float  # `seconds` over the baseline's
    relative_memory: float  # `memory` over the baseline's
    runs: int  # number of runs that count. NaN stands for what no run measured


def dataset_costs(group: DatasetRuns) -> tuple[dict[str, Cost], list[str]]:
    """Cost of each method on a dataset, from runs on the hardware on which most runs of the baseline were made.

    Returns:
        Costs by method, and a note for each method of which runs on other hardware or with another number of threads
        were left out.
    """
    baseline = next(iter(group.methods))
    (hardware, _), *_ = Counter(_hardware(run) for run in group.methods[baseline]).most_common(1)
    costs: dict[str, Cost] = {}
    notes = []
    for method, runs in group.methods.items():
        same = [run for run in runs if _hardware(run) == hardware]
        if len(same) < len(runs):
            notes.append(
                f"{group.dataset}: {len(runs) - len(same)} of {len(runs)} runs of {method} are on other hardware or "
                f"threads than {baseline} and do not count."
            )
        times = [run.result.train_seconds / run.result.epochs for run in same if run.result.epochs]
        seconds = median(times) if times else math.nan
        known = [run.result.peak_memory for run in same if run.result.peak_memory is not None]
        memory = spread([float(one) for one in known]).mean
        own = Cost(seconds, memory, 1.0, 1.0, len(same))
        reference = costs.get(baseline, own)
        costs[method] = own._replace(
            relative_seconds=_ratio(seconds, reference.seconds), relative_memory=_ratio(memory, reference.memory)
        )
    return costs, notes


def cost_table(groups: Sequence[DatasetRuns]) -> TextTable:
    """Tabulate seconds per epoch of each method on each dataset, and peak memory below, relative to the baseline."""
    found = {group.dataset: dataset_costs(group) for group in groups}
    baselines = {group.dataset: next(iter(group.methods)) for group in groups}
    lines = []
    for method in grid_methods(groups):
        cells: list[Entry | str] = [method]
        for group in groups:
            cost = found[group.dataset][0].get(method)
            cells.append(NOT_RUN if cost is None else _entry(cost, is_baseline=method == baselines[group.dataset]))
        relative = [costs[method].relative_seconds for costs, _ in found.values() if method in costs]
        known = [one for one in relative if not math.isnan(one)]
        mean = math.exp(sum(map(math.log, known)) / len(known)) if known else math.nan
        lines.append([*cells, _times(mean)] if len(groups) > 1 else cells)
    names = ", ".join(dict.fromkeys(baselines.values()))
    return TextTable.of(
        f"Training time per epoch relative to {names}, whose own time is in seconds: medians over seeds; peak memory "
        "likewise, where it was measured. Only runs on the same hardware with the same number of threads are compared; "
        "runs that shared the machine with others are slower.",
        ("method", *(group.dataset for group in groups), *(["geometric mean"] if len(groups) > 1 else [])),
        lines,
        notes=[note for _, notes in found.values() for note in notes],
    )


def _entry(cost: Cost, *, is_baseline: bool) -> Entry:
    if is_baseline:
        seconds = NOTHING if math.isnan(cost.seconds) else f"{cost.seconds:.3g} s"
        return Entry(seconds, "" if math.isnan(cost.memory) else f"{cost.memory / MEBIBYTE:.0f} MiB")
    memory = "" if math.isnan(cost.relative_memory) else f"{_times(cost.relative_memory)} memory"
    return Entry(_times(cost.relative_seconds), memory)


def _times(ratio: float) -> str:
    return NOTHING if math.isnan(ratio) else f"{ratio:.2f} \N{MULTIPLICATION SIGN}"


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else math.nan


def _hardware(run: Run) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in run.result.hardware.items()))
