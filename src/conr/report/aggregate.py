"""The numbers of a report: runs grouped by dataset and method, means and spreads over seeds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice
from conr.density.regions import GROUPS
from conr.report.tables import with_unit
from conr.runs.results import RunResult
from conr.runs.runs import Run, read_runs

BASELINE_NAMES = ("baseline", "vanilla")
MOST_INTERVALS = 30
_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of a label and of an edge, as `conr.density.Bins` allows

Array = NDArray[np.float64]


class Spread(NamedTuple):
    """A quantity over seeds; seeds in which it is undefined do not count."""

    mean: float
    std: float
    low: float
    high: float
    seeds: int


class Curve(NamedTuple):
    """A quantity along an axis, over seeds: arrays of equal length, NaN where undefined."""

    position: Array
    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class SummaryRow:
    """One method on one dataset.

    Attributes:
        dataset: its name.
        method: its name.
        seeds: number of runs.
        is_baseline: whether the other methods of the dataset are compared with this one.
        metrics: by region ("all", "many", "median", "few") and metric ("mae", ...), the spread over seeds.
        changes: like ``metrics``, the mean's difference to the baseline's in percent of the baseline's; NaN where one
            of them is undefined or the baseline's is zero.
    """

    dataset: str
    method: str
    seeds: int
    is_baseline: bool
    metrics: dict[str, dict[str, Spread]]
    changes: dict[str, dict[str, float]]


@dataclass(frozen=True)
class DatasetRuns:
    """All runs on one dataset: by method, the baseline first, each method's runs by seed.

    ``notes`` says what a reader of the numbers should know: repeated seeds, other training data, other settings.
    """

    dataset: str
    methods: dict[str, tuple[Run, ...]]
    rows: tuple[SummaryRow, ...]
    notes: tuple[str, ...]

    @property
    def first(self) -> RunResult:
        """The first result of the baseline: what all runs share is read from it."""
        return next(iter(self.methods.values()))[0].result

    @property
    def label(self) -> str:
        """Name of the label with its unit, as an axis is titled."""
        return with_unit(self.first.label["name"], self.first.label["unit"])

    @property
    def names(self) -> list[str]:
        """Name of each label dimension; the label's name where there is one."""
        label, dimensions = self.first.label, len(self.edges)
        numbered = [label["name"]] if dimensions == 1 else [f"{label['name']} {number}" for number in range(dimensions)]
        return list(label.get("dimensions") or numbered)

    @property
    def axis_titles(self) -> list[str]:
        """Name with unit of each label dimension, as an axis is titled."""
        return [with_unit(name, self.first.label["unit"]) for name in self.names]

    @property
    def edges(self) -> list[Array]:
        """Edges of the label's bins per label dimension."""
        return [np.asarray(one, dtype=np.float64) for one in self.first.bins["edges"]]

    @property
    def highlighted(self) -> tuple[str, ...]:
        """The baseline and the other method with the lowest few-shot headline (over all labels if undefined)."""
        baseline, *others = self.rows
        if not others:
            return (baseline.method,)
        name = self.first.headline
        region = "all" if any(math.isnan(row.metrics["few"][name].mean) for row in others) else "few"
        return baseline.method, min(others, key=lambda row: row.metrics[region][name].mean).method


def load_runs(paths: Iterable[Path], *, baseline: str | None = None) -> list[DatasetRuns]:
    """Read all runs at or below the paths and group them by dataset.

    Of two runs with the same dataset, method and seed the later one counts.

    Args:
        paths: as of `conr.runs.read_runs`.
        baseline: the method to compare with; by default the one called "baseline" or "vanilla", else the first by name.

    Returns:
        One group per dataset, by name.

    Raises:
        FileNotFoundError: no result file.
        ValueError: a broken result file, an unknown baseline, or runs of one dataset with different label bins.
    """
    runs = read_runs(paths)
    if baseline is not None:
        check_choice("baseline", baseline, sorted({run.result.method for run in runs}))
    names = sorted({run.result.dataset for run in runs})
    return [_group(name, [run for run in runs if run.result.dataset == name], baseline) for name in names]


def summary_table(results: Sequence[RunResult], *, baseline: str | None = None) -> list[SummaryRow]:
    """Means over seeds, standard deviations, and differences to the baseline.

    Args:
        results: of any datasets and methods, one per seed.
        baseline: the method to compare with; by default the one called "baseline" or "vanilla", else the first by name.
            On a dataset that lacks it the default holds.

    Returns:
        One row per dataset and method, by dataset; the baseline first, then the methods by name.

    Raises:
        ValueError: no result has the method ``baseline``.
    """
    if baseline is not None:
        check_choice("baseline", baseline, sorted({result.method for result in results}))
    rows = []
    for dataset in sorted({result.dataset for result in results}):
        ours = [result for result in results if result.dataset == dataset]
        methods = _ordered({result.method for result in ours}, baseline)
        reference: Mapping[str, Mapping[str, Spread]] | None = None
        for method in methods:
            same = [result for result in ours if result.method == method]
            metrics = {
                region: {
                    name: spread([result.metrics[region][name] for result in same])
                    for name in same[0].metrics[region]
                    if all(name in result.metrics[region] for result in same)
                }
                for region in GROUPS
            }
            reference = metrics if reference is None else reference
            changes = {
                region: {
                    name: _percent(value.mean, reference[region][name].mean)
                    for name, value in metrics[region].items()
                    if name in reference[region]
                }
                for region in GROUPS
            }
            rows.append(SummaryRow(dataset, method, len(same), metrics is reference, metrics, changes))
    return rows


def spread(values: Iterable[float]) -> Spread:
    """Mean, sample standard deviation (NaN for one value) and range of the values that are not NaN."""
    defined = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    if len(defined) == 0:
        return Spread(math.nan, math.nan, math.nan, math.nan, 0)
    std = float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
    return Spread(float(defined.mean()), std, float(defined.min()), float(defined.max()), len(defined))


def training_curve(runs: Sequence[Run], metric: str) -> Curve | None:
    """A logged metric over epochs, which count from 1, None if no run logged it."""
    histories = [dict(run.history[metric]) for run in runs if metric in run.history]
    if not histories:
        return None
    epochs = sorted(set().union(*histories))
    return _curve(
        [epoch + 1 for epoch in epochs], [[history.get(epoch, math.nan) for epoch in epochs] for history in histories]
    )


def label_error_curve(group: DatasetRuns, method: str) -> Curve | None:
    """MAE over the label axis, in at most ``MOST_INTERVALS`` intervals of whole bins; None without predictions.

    Only for labels of one dimension. An interval without test samples has NaN.
    """
    (edges,) = group.edges
    step = math.ceil((len(edges) - 1) / MOST_INTERVALS)
    ends = np.append(edges[:-1:step], edges[-1])  # (intervals + 1,)
    inner = ends[1:-1] - np.minimum(_ROUNDING * np.abs(ends[1:-1]), np.diff(ends)[:-1] / 2)
    known = [run.outputs for run in group.methods[method] if run.outputs is not None]
    if not known:
        return None
    errors = []
    for outputs in known:
        labels = outputs.labels.reshape(-1)
        error = np.abs(outputs.predictions.reshape(-1).astype(np.float64) - labels)
        interval = np.searchsorted(inner, labels, side="right")
        count = np.bincount(interval, minlength=len(ends) - 1)
        total = np.bincount(interval, weights=error, minlength=len(ends) - 1)
        errors.append(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
    return _curve((ends[:-1] + ends[1:]) / 2, errors)


def prediction_limits(group: DatasetRuns, runs: Sequence[Run]) -> tuple[float, float]:
    """The range that holds the label bins and all finite predictions of the runs; for labels of one dimension."""
    (edges,) = group.edges
    predictions = [run.outputs.predictions.reshape(-1) for run in runs if run.outputs is not None]
    shown = np.concatenate([edges, *predictions])
    shown = shown[np.isfinite(shown)]
    return float(shown.min()), float(shown.max())


def region_spans(group: DatasetRuns) -> list[tuple[float, float, str]]:
    """Stretches of neighbouring bins of one shot region, as (low, high, region); for labels of one dimension."""
    (edges,) = group.edges
    spans: list[tuple[float, float, str]] = []
    for low, high, region in zip(edges[:-1].tolist(), edges[1:].tolist(), group.first.bins["regions"], strict=True):
        if spans and spans[-1][2] == region:
            spans[-1] = (spans[-1][0], high, region)
        else:
            spans.append((low, high, region))
    return spans


def _group(dataset: str, runs: list[Run], baseline: str | None) -> DatasetRuns:
    edges = runs[0].result.bins["edges"]
    for run in runs:
        if run.result.bins["edges"] != edges:
            raise ValueError(
                f"{dataset}: expected the same label bins in all runs, got different ones in {runs[0].folder} and "
                f"{run.folder}: their shot regions cannot be compared"
            )
    kept, notes = _without_repeats(runs)
    names = _ordered({run.result.method for run in kept}, baseline)
    methods = {name: tuple(sorted((run for run in kept if run.result.method == name), key=_by_seed)) for name in names}
    if _differ(kept, lambda result: (result.bins["train_counts"], result.bins["regions"])):
        notes.append("Not all runs were trained on the same label distribution: shot regions differ between runs.")
    if _differ(kept, lambda result: [result.metrics[region]["count"] for region in GROUPS]):
        notes.append("Not all runs were tested on the same number of samples.")
    ordered = [run.result for runs_of_method in methods.values() for run in runs_of_method]
    rows = tuple(summary_table(ordered, baseline=names[0]))
    return DatasetRuns(dataset, methods, rows, tuple(notes))


def _without_repeats(runs: list[Run]) -> tuple[list[Run], list[str]]:
    latest: dict[Any, Run] = {}
    notes = []
    for run in sorted(runs, key=lambda run: run.result.created):
        # A run without a seed repeats no other run.
        seed = str(run.folder) if run.result.seed is None else run.result.seed
        earlier = latest.get((run.result.method, seed))
        if earlier is not None:
            notes.append(
                f"Seed {seed} of {run.result.method} was run more than once: {run.folder.name} counts, "
                f"{earlier.folder.name} is left out."
            )
        latest[run.result.method, seed] = run
    return list(latest.values()), notes


def _by_seed(run: Run) -> tuple[float, str]:
    return (math.inf if run.result.seed is None else run.result.seed, str(run.folder))


def _differ(runs: list[Run], view: Callable[[RunResult], object]) -> bool:
    return any(view(run.result) != view(runs[0].result) for run in runs)


def _ordered(methods: set[str], baseline: str | None) -> list[str]:
    names = sorted(methods)
    wanted = BASELINE_NAMES if baseline is None else (baseline, *BASELINE_NAMES)
    first = next((name for name in wanted if name in methods), names[0])
    return [first, *(name for name in names if name != first)]


def _percent(value: float, reference: float) -> float:
    return math.nan if reference == 0 else (value - reference) / abs(reference) * 100


def _curve(position: Any, values: Sequence[Any]) -> Curve:
    over_seeds = [spread(column) for column in np.asarray(values, dtype=np.float64).T]
    columns = np.asarray([(one.mean, one.low, one.high) for one in over_seeds])
    return Curve(np.asarray(position, dtype=np.float64), *columns.T)
