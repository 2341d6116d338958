import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.angular import angle_in_degrees, mean_angles

from conr.density import REGIONS, Bins, LabelDensity
from conr.metrics import METRIC_NAMES, AngularErrorMetric, angular_error, gaze_metrics, regression_metrics
from conr.pairwise import label_distance

# Cells of pitch below and above 0, yaw below and above 0, with 4 2 1 0 training labels: many, median, few, few.
CELLS = Bins([[-1, 0, 1], [-1, 0, 1]])
TRAIN = torch.tensor([[-0.5, -0.5]] * 4 + [[-0.5, 0.5]] * 2 + [[0.5, -0.5]])
DENSITY = LabelDensity(CELLS, many=3, few=2).fit(TRAIN)
SUFFIXES = ("", *(f"_{region}" for region in REGIONS))


def test_angles_by_hand() -> None:
    predictions = torch.tensor([[0.0, 0.0], [0.2, 0.7], [0.0, 0.0], [math.pi / 2, 0.3], [0.0, 0.1], [0.4, 0.5]])
    labels = torch.tensor(
        [[0.3, 0.0], [0.2, 0.7], [0.0, math.pi], [math.pi / 2, 2.9], [0.0, -0.1], [-0.4, 0.5 + math.pi]]
    )
    # straight up, yaw says nothing; the last two are opposite directions
    expected = [math.degrees(0.3), 0, 180, 0, math.degrees(0.2), 180]
    assert angular_error(predictions, labels).tolist() == pytest.approx(expected, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-6, 0.3, 3.0]))
def test_equals_the_angle_of_unit_vectors(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = 3 * torch.randn(6, 2, generator=generator, dtype=torch.float64)
    predictions = labels + scale * torch.randn(6, 2, generator=generator, dtype=torch.float64)
    expected = [angle_in_degrees(a, b) for a, b in zip(predictions.tolist(), labels.tolist(), strict=True)]
    found = angular_error(predictions, labels)
    # 1e-8 radians of a direction close to opposite is what float64 resolves there.
    assert found.tolist() == pytest.approx(expected, rel=1e-8, abs=2e-6 if scale > 1 else 1e-12)
    torch.testing.assert_close(found.deg2rad(), label_distance(predictions, labels, "angular").diagonal())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([1, 4, 100]))
def test_means_by_region_equal_a_loop(seed: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = 2 * torch.rand(23, 2, generator=generator, dtype=torch.float64) - 1
    predictions = labels + 0.3 * torch.randn(23, 2, generator=generator, dtype=torch.float64)
    by_cell = {(0, 0): "many", (0, 1): "median", (1, 0): "few", (1, 1): "few"}
    regions = [by_cell[int(pitch >= 0), int(yaw >= 0)] for pitch, yaw in labels.tolist()]
    expected = mean_angles(predictions.tolist(), labels.tolist(), regions)
    metric = AngularErrorMetric(DENSITY)
    for start in range(0, len(labels), batch):
        metric.update(predictions[start : start + batch], labels[start : start + batch])
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_the_metrics_of_gaze_are_those_of_every_dataset_and_the_angle() -> None:
    labels = torch.tensor([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    predictions = labels + torch.tensor([[0.1, 0.0], [0.2, 0.0], [0.0, 0.0]])
    metrics = gaze_metrics(DENSITY, prefix="test/")
    metrics.update(predictions, labels)
    found = {name: value.item() for name, value in metrics.compute().items()}
    assert set(found) == {f"test/{name}{suffix}" for name in (*METRIC_NAMES, "angular") for suffix in SUFFIXES}
    standard = regression_metrics(predictions, labels, DENSITY)
    assert {name: found[f"test/{name}"] for name in standard} == pytest.approx(standard, nan_ok=True)
    assert found["test/mae"] == pytest.approx((0.05 + 0.1 + 0) / 3, rel=1e-6)  # radians, mean over both dimensions
    assert found["test/angular"] == pytest.approx(math.degrees(0.1), rel=1e-6)
    assert found["test/angular_median"] == pytest.approx(math.degrees(0.2), rel=1e-6)


def test_a_region_without_samples_is_nan_and_a_bad_prediction_shows_in_its_own() -> None:
    metric = AngularErrorMetric(DENSITY)
    metric.update(torch.empty(0, 2), torch.empty(0, 2))
    assert all(value.isnan() for value in metric.compute().values())
    metric.update(torch.tensor([[math.nan, 0.0], [0.5, -0.5]]), torch.tensor([[-0.5, -0.5], [0.5, -0.5]]))
    found = {name: value.item() for name, value in metric.compute().items()}
    expected = {"angular": math.nan, "angular_many": math.nan, "angular_median": math.nan, "angular_few": 0.0}
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_float64(dtype: torch.dtype) -> None:
    """In float16 a sum of 4000 angles of 90 degrees saturates."""
    metric = AngularErrorMetric(DENSITY)
    metric.update(torch.zeros(4000, 2, dtype=dtype), torch.full((4000, 2), 0.5, dtype=dtype))
    found = metric.compute()["angular"]
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(angle_in_degrees((0, 0), (0.5, 0.5)), rel=1e-12)


def test_update_reads_no_value_and_changes_no_input() -> None:
    """On the meta device there are no values: reading one would be an error."""
    metric = AngularErrorMetric(copy.deepcopy(DENSITY)).to("meta")
    metric.update(torch.empty(6, 2, device="meta"), torch.empty(6, 2, device="meta"))
    predictions, labels = torch.rand(5, 2, requires_grad=True), torch.rand(5, 2)
    before = predictions.detach().clone(), labels.clone()
    assert not angular_error(predictions, labels).requires_grad
    assert torch.equal(predictions, before[0])
    assert torch.equal(labels, before[1])


def test_pickle_deepcopy_and_reset() -> None:
    metric = AngularErrorMetric(DENSITY)
    metric.update(torch.zeros(1, 2), torch.tensor([[0.1, 0.0]]))
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):  # noqa: S301  our own bytes
        assert twin.compute()["angular"].item() == pytest.approx(math.degrees(0.1))
    metric.reset()
    metric.update(torch.zeros(1, 2), torch.tensor([[0.0, 0.2]]))
    assert metric.compute()["angular"].item() == pytest.approx(math.degrees(0.2))


def test_wrong_inputs_are_refused() -> None:
    for shape, other in (((3, 2), (4, 2)), ((3,), (3,)), ((3, 3), (3, 3)), ((3, 1), (3, 1))):
        with pytest.raises(ValueError, match=r"expected equal shapes \(n, 2\) of pitch and yaw, got"):
            angular_error(torch.zeros(shape), torch.zeros(other))
    with pytest.raises(ValueError, match="density: expected bins over two label dimensions, pitch and yaw, got 1"):
        gaze_metrics(LabelDensity(Bins([0, 1])).fit(torch.zeros(1)))
    with pytest.raises(RuntimeError, match="call fit"):
        gaze_metrics(LabelDensity(CELLS))
