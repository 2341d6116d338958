import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.interpolate import CubicHermiteSpline

from conr.metrics import Relevance, error_relevance_area

POINTS = [(0.0, 1.0), (1.0, 0.9), (1.5, 0.1), (4.0, 0.0), (5.0, 0.0), (9.0, 1.0)]


def test_the_area_is_that_below_the_curve_of_errors_over_thresholds() -> None:
    random = np.random.default_rng(0)
    labels = random.gamma(2.0, 2.0, 300)
    predictions = labels + random.normal(size=300)
    relevance = Relevance(POINTS)
    found = error_relevance_area(torch.from_numpy(predictions), torch.from_numpy(labels), relevance)
    phi = relevance(labels).numpy()
    thresholds = np.linspace(0, 1, 20_001)
    curve = [((predictions - labels)[phi >= threshold] ** 2).sum() for threshold in thresholds]
    assert found == pytest.approx(trapezoid(curve, thresholds), rel=1e-3)
    assert found < curve[0]


def test_the_curve_is_monotone_and_smooth_between_points() -> None:
    relevance = Relevance(POINTS)
    grid = np.linspace(-1, 10, 22_001)
    curve = relevance(grid).numpy()
    places, values = np.array(POINTS).T
    assert relevance(places).tolist() == values.tolist()
    assert (np.diff(curve)[grid[1:] <= 5] <= 1e-12).all()
    assert (np.diff(curve)[grid[:-1] >= 5] >= -1e-12).all()
    assert np.abs(np.diff(curve, 2)).max() < 1e-4  # its slope has no jump
    assert curve[0] == curve[-1] == 1
    # Fritsch and Carlson's slopes by hand: means of the lines' slopes are -0.85 and -0.82; the first line, -0.1, and
    # the last one, -0.04, allow 3 times themselves.
    slopes = [0, -0.3, -0.12, 0, 0, 0]
    np.testing.assert_allclose(relevance(grid), CubicHermiteSpline(places, values, slopes)(grid.clip(0, 9)), atol=1e-12)


def test_points_of_a_box_plot() -> None:
    labels = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 30.0])  # quartiles 3 and 7: the fences are -3 and 13
    assert Relevance.of_labels(labels).points == [(1, 1), (5, 0), (8, 1)]
    assert Relevance.of_labels(labels, ends="low").points == [(1, 1), (5, 0)]
    assert Relevance.of_labels(torch.from_numpy(labels), ends="high").points == [(5, 0), (8, 1)]
    many_zeros = np.array([0.0] * 6 + [1.0, 2.0, 3.0, 4.0])  # half of them at the median
    assert Relevance.of_labels(many_zeros).points == [(0, 0), (4, 1)]
    with pytest.raises(ValueError, match="expected a whisker beyond the median 0, got none"):
        Relevance.of_labels(many_zeros, ends="low")


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ([(0, 1)], ValueError, "points: expected at least two pairs"),
        ([(0, 1), (0, 0)], ValueError, "points: expected increasing labels"),
        ([(0, 1), (1, 2)], ValueError, "relevance of a point: expected a number in"),
        ([(0, 1), (1, 1, 0)], TypeError, "points: expected pairs of label and relevance"),
    ],
)
def test_wrong_points(points: list[tuple[float, float]], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Relevance(points)


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="predictions and labels: expected equal shapes"):
        error_relevance_area(torch.zeros(3), torch.zeros(3, 1), Relevance(POINTS))
    with pytest.raises(ValueError, match="labels: expected one label dimension"):
        error_relevance_area(torch.zeros(3, 2), torch.zeros(3, 2), Relevance(POINTS))
    with pytest.raises(ValueError, match="labels: expected one label dimension"):
        Relevance.of_labels(torch.zeros(3, 2))
