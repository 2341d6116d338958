import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from conr.density import REGIONS, Bins, LabelDensity
from conr.metrics import METRIC_NAMES, regression_metrics, shot_metrics

Array = NDArray[np.float64]

# Bins [0, 1) [1, 2) [2, 3) [3, 4] with 4 2 1 1 training labels: many, median, few, few.
DENSITY = LabelDensity(Bins(range(5)), many=3, few=2).fit(torch.tensor([0.5] * 4 + [1.5] * 2 + [2.5, 3.5]))
KEYS = {key for name in METRIC_NAMES for key in (name, *(f"{name}_{region}" for region in REGIONS))}


def region_of(cell: tuple[int, ...], counts: dict[tuple[int, ...], int], many: int, few: int) -> str:
    count = counts.get(cell, 0)
    return "many" if count > many else "few" if count < few else "median"


def oracle(predictions: Array, labels: Array, train: Array, *, many: int, few: int) -> dict[str, float]:
    """Every metric by loops over samples (n, k), with bins of width 1."""
    counts: dict[tuple[int, ...], int] = {}
    for label in train:
        cell = tuple(int(number) for number in label)
        counts[cell] = counts.get(cell, 0) + 1
    cells = [tuple(int(number) for number in label) for label in labels]
    found: dict[str, float] = {}
    for region in ("", *REGIONS):
        rows = [i for i, cell in enumerate(cells) if region in ("", region_of(cell, counts, many, few))]
        suffix = f"_{region}" if region else ""
        values = metrics_of(predictions[rows], labels[rows], [cells[i] for i in rows])
        found |= {name + suffix: value for name, value in values.items()}
    return found


def metrics_of(predictions: Array, labels: Array, cells: list[tuple[int, ...]]) -> dict[str, float]:
    if len(cells) == 0:
        return dict.fromkeys(METRIC_NAMES, math.nan) | {"count": 0.0}
    errors = np.abs(predictions - labels)
    by_cell: dict[tuple[int, ...], list[float]] = {}
    for cell, row in zip(cells, errors, strict=True):
        by_cell.setdefault(cell, []).extend(row)
    return {
        "count": len(cells),
        "mae": np.mean(errors),
        "mse": np.mean(errors**2),
        "rmse": math.sqrt(np.mean(errors**2)),
        "gm": stats.gmean([error if error > 0 else 1e-10 for error in errors.flatten()]),
        "bmae": np.mean([np.mean(ones) for ones in by_cell.values()]),
        "pearson": correlation(stats.pearsonr, predictions, labels),
        "spearman": correlation(stats.spearmanr, predictions, labels),
    }


def correlation(function: Callable[..., Any], predictions: Array, labels: Array) -> float:
    values = []
    for predicted, label in zip(predictions.T, labels.T, strict=True):
        if len(label) < 2 or np.ptp(predicted) == 0 or np.ptp(label) == 0:
            return math.nan
        try:
            values.append(function(predicted, label).statistic)
        except stats.NearConstantInputWarning:  # the oracle's own loss of precision
            reject()
    return float(np.mean(values))


def test_values_by_hand() -> None:
    predictions = torch.tensor([0.5, 1.5, 2.0, 1.0, 3.0])
    labels = torch.tensor([0.0, 0.5, 0.0, 1.5, 3.0])  # errors 0.5 1 2 | 0.5 | 0
    found = regression_metrics(predictions, labels, DENSITY)
    assert set(found) == KEYS
    assert all(type(value) is float for value in found.values())
    expected = {
        "count": 5,
        "count_many": 3,
        "count_median": 1,
        "count_few": 1,
        "mae": 4 / 5,
        "mae_many": 3.5 / 3,
        "mae_median": 0.5,
        "mae_few": 0,
        "mse": (0.25 + 1 + 4 + 0.25) / 5,
        "mse_many": 5.25 / 3,
        "rmse": math.sqrt(5.5 / 5),
        "rmse_median": 0.5,
        "gm": (0.5 * 1 * 2 * 0.5 * 1e-10) ** 0.2,
        "gm_many": 1,
        "gm_median": 0.5,
        "gm_few": 1e-10,
        "bmae": (3.5 / 3 + 0.5 + 0) / 3,
        "bmae_many": 3.5 / 3,
        "bmae_few": 0,  # its other bin has no samples
        "spearman_many": 0,  # ranks 1 2 3 against 1.5 3 1.5
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert all(math.isnan(found[f"{name}_few"]) for name in ("pearson", "spearman"))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    dimensions = draw(st.sampled_from([1, 2, 3]))
    count = draw(st.integers(1, 40))
    step = draw(st.sampled_from([0.5, 1e-3]))  # with 0.5 equal labels, equal predictions and exact hits are common
    train = 4 * random.uniform(size=(60, dimensions)) ** 2
    labels = step * np.floor(3.999 * random.uniform(size=(count, dimensions)) ** 2 / step)
    predictions = labels + step * random.integers(-2, 3, size=(count, dimensions))
    return predictions, labels, train


@settings(max_examples=150, deadline=None)
@given(case=cases(), shots=st.sampled_from([(100, 20), (12, 4), (1, 1)]), batch=st.sampled_from([1, 7, 100]))
def test_equals_loops_over_the_definitions(
    case: tuple[Array, Array, Array], shots: tuple[int, int], batch: int
) -> None:
    predictions, labels, train = case
    many, few = shots
    expected = oracle(predictions, labels, train, many=many, few=few)
    density = LabelDensity(Bins([range(5)] * labels.shape[1]), many=many, few=few).fit(torch.from_numpy(train))
    found = regression_metrics(torch.from_numpy(predictions), torch.from_numpy(labels), density)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)

    metrics = shot_metrics(density)
    for start in range(0, len(labels), batch):
        rows = slice(start, start + batch)
        metrics.update(torch.from_numpy(predictions[rows]), torch.from_numpy(labels[rows]))
    streamed = {name: value.item() for name, value in metrics.compute().items()}
    assert streamed == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_shapes_of_one_label_dimension_agree() -> None:
    predictions, labels = torch.tensor([0.3, 1.0, 3.0, 1.0]), torch.tensor([0.5, 1.5, 2.5, 3.5])
    flat = regression_metrics(predictions, labels, DENSITY)
    column = regression_metrics(predictions.unsqueeze(1), labels.unsqueeze(1), DENSITY)
    assert column == pytest.approx(flat, nan_ok=True)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_correlations_do_not_depend_on_the_unit_of_labels(scale: float) -> None:
    """At 1e-9 the variance of the labels is below what a float64 resolves around 1; nothing warns."""
    random = np.random.default_rng(0)
    labels = scale * random.uniform(0, 4, 30)
    predictions = labels + scale * random.normal(size=30)
    density = LabelDensity(Bins([0, 4 * scale])).fit(torch.from_numpy(labels))
    found = regression_metrics(torch.from_numpy(predictions), torch.from_numpy(labels), density)
    assert found["pearson"] == pytest.approx(stats.pearsonr(predictions, labels).statistic, rel=1e-12)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predictions, labels).statistic, rel=1e-12)


@pytest.mark.parametrize("count", range(2, 12))
def test_a_constant_has_no_correlation(count: int) -> None:
    """Also where its mean is rounded to another number, as for some of these counts."""
    constant = torch.full((count,), 0.1, dtype=torch.float64)
    found = regression_metrics(constant, torch.linspace(0, 4, count, dtype=torch.float64), DENSITY)
    assert math.isnan(found["pearson"])
    assert math.isnan(found["spearman"])


def test_a_prediction_that_is_nan_shows_in_its_regions_only() -> None:
    predictions, labels = torch.tensor([0.5, 0.6, math.nan, 1.5]), torch.tensor([0.1, 0.2, 1.0, 1.9])
    found = regression_metrics(predictions, labels, DENSITY)
    for name in ("mae", "mse", "rmse", "gm", "bmae", "pearson", "spearman"):
        assert math.isnan(found[name])
        assert math.isnan(found[f"{name}_median"])
        assert not math.isnan(found[f"{name}_many"])


def test_empty_batches_and_no_samples_at_all() -> None:
    metrics = shot_metrics(DENSITY, prefix="val/")
    metrics.update(torch.empty(0), torch.empty(0))
    found = metrics.compute()
    assert set(found) == {f"val/{key}" for key in KEYS}
    for key, value in found.items():
        assert value == 0 if "count" in key else math.isnan(value)
    metrics.update(torch.tensor([1.0]), torch.tensor([0.5]))
    metrics.update(torch.empty(0, 1), torch.empty(0, 1))
    assert metrics.compute()["val/mae"] == 0.5
    metrics.reset()
    metrics.update(torch.tensor([3.0]), torch.tensor([0.5]))
    assert metrics.compute()["val/mae_many"] == 2.5


def test_forward_gives_the_metrics_of_the_batch_and_adds_it() -> None:
    metrics = shot_metrics(DENSITY)
    assert metrics(torch.tensor([1.0]), torch.tensor([0.5]))["mae"] == 0.5
    assert metrics(torch.tensor([2.0]), torch.tensor([0.5]))["mae"] == 1.5
    assert metrics.compute()["mae"] == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_float64(dtype: torch.dtype) -> None:
    """In float16 the sum of 4000 errors of 3 saturates; in float32 1e8 + 1 is 1e8."""
    metrics = shot_metrics(DENSITY)
    metrics.update(torch.full((4000,), 3.0, dtype=dtype), torch.zeros(4000, dtype=dtype))
    metrics.update(torch.full((1,), 1e4, dtype=dtype), torch.zeros(1, dtype=dtype))
    expected = (4000 * 9 + torch.tensor(1e4, dtype=dtype).double() ** 2) / 4001
    found = metrics.compute()
    assert found["mse"].dtype == torch.float64
    assert found["mse"].item() == pytest.approx(expected.item(), rel=1e-14)


def test_update_reads_no_value() -> None:
    """On the meta device there are no values: reading one would be an error."""
    metrics = shot_metrics(copy.deepcopy(DENSITY)).to("meta")
    metrics.update(torch.empty(6, device="meta"), torch.empty(6, device="meta"))


def test_inputs_stay_as_they_are() -> None:
    predictions, labels = torch.rand(8, requires_grad=True), 4 * torch.rand(8)
    before = (predictions.detach().clone(), labels.clone())
    metrics = shot_metrics(DENSITY)
    metrics.update(predictions, labels)
    assert not any(value.requires_grad for value in metrics.compute().values())
    assert torch.equal(predictions.detach(), before[0])
    assert torch.equal(labels, before[1])


def test_pickle_and_deepcopy() -> None:
    metrics = shot_metrics(DENSITY, prefix="test/")
    metrics.update(torch.rand(9), 4 * torch.rand(9))
    expected = {name: value.item() for name, value in metrics.compute().items()}
    for twin in (copy.deepcopy(metrics), pickle.loads(pickle.dumps(metrics))):  # noqa: S301  our own bytes
        assert {name: value.item() for name, value in twin.compute().items()} == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        (torch.ones(3), torch.ones(4), "expected equal shapes"),
        (torch.ones(3, 1), torch.ones(3), "expected equal shapes"),
        (torch.ones(3), torch.tensor([1.0, 9.0, 1.0]), "labels: .*got 9 at position 1"),
        (torch.ones(3), torch.tensor([1.0, 1.0, math.nan]), "labels: .*got nan at position 2"),
        (torch.ones(3, 2), torch.ones(3, 2), "labels: expected 1 label dimension"),
    ],
)
def test_wrong_inputs(predictions: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regression_metrics(predictions, labels, DENSITY)


def test_the_collection_checks_shapes_too() -> None:
    with pytest.raises(ValueError, match=r"expected equal shapes \(n,\) or \(n, k\), got \(3, 1\) and \(3,\)"):
        shot_metrics(DENSITY).update(torch.ones(3, 1), torch.ones(3))


def test_a_density_that_is_not_fitted() -> None:
    with pytest.raises(RuntimeError, match="call fit"):
        shot_metrics(LabelDensity(Bins([0, 1])))
