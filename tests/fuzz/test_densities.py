"""Random labels into bins, densities and metrics."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from tests.fuzz.batches import Drawn, tensors
from tests.fuzz.search import Refused, attempt, examples, search
from torch import Tensor

from conr.density import Bins, DenseWeight, LabelDensity, suggest_scheme, suggest_settings
from conr.density.default_bins import label_bins
from conr.metrics import angular_error, depth_metrics, gaze_metrics, regression_metrics, shot_metrics

SCHEMES: tuple[dict[str, Any], ...] = (
    {},
    {"scheme": "inverse", "clip": (2, 10)},
    {"scheme": "sqrt_inverse", "kernel": "gaussian", "kernel_size": 5, "sigma": 2},
    {"scheme": "sqrt_inverse", "kernel": "laplace", "kernel_size": 3, "boundary": "reflect"},
    {"scheme": "power", "power": 0.3},
    {"scheme": "effective_number", "beta": 0.99},
)
WIDTHS = st.sampled_from((None, 1.0, 0.1, 1e-9, 1e9, 0.0, -1.0, math.nan))
COUNTS = st.sampled_from((None, None, 1, 5, 0, -3))
KINDS = st.sampled_from((None, "normal", "grid", "equal", "tiny", "huge"))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    n, k = draw(st.integers(0, 12)), draw(st.integers(1, 3))
    return (n,) if k == 1 and draw(st.booleans()) else (n, k)


def has_values(drawn: Drawn) -> bool:
    return not getattr(drawn.tensor, "is_meta", False)


@examples(few=50, many=3_000)
def test_densities(examples: int) -> None:
    """Weights of the training labels are finite, positive, and 1 on average."""

    def check(data: st.DataObject) -> None:
        shape = data.draw(shapes())
        drawn = data.draw(tensors(shape, is_odd=data.draw(st.integers(0, 2)) == 0).filter(has_values))
        labels, width, count = drawn.tensor, data.draw(WIDTHS), data.draw(COUNTS)
        bins = attempt(lambda: label_bins(labels, width=width, count=count))
        if isinstance(bins, Refused):
            return
        assert isinstance(bins, Bins)
        for density in (LabelDensity(**data.draw(st.sampled_from(SCHEMES))), DenseWeight(alpha=0.7, points=256)):
            fitted = attempt(partial(density.fit, labels, bins))
            if isinstance(fitted, Refused):
                continue
            weights = density.weights(labels)
            assert weights.shape == (len(labels),)
            assert weights.isfinite().all()
            assert (weights > 0).all()
            assert abs(float(weights.double().mean()) - 1) < 1e-3
            other = data.draw(tensors(shape, is_odd=True).filter(has_values)).tensor
            asked = attempt(partial(density.weights, other))
            assert isinstance(asked, Refused) or asked.isfinite().all()
        settings = attempt(lambda: suggest_settings(labels, bins))
        if not isinstance(settings, Refused):
            assert all(math.isfinite(value) for value in settings)
            assert suggest_scheme(LabelDensity().fit(labels, bins).counts) in ("none", "sqrt_inverse")

    search(check, examples, data=st.data())


@examples(few=30, many=2_000)
def test_metrics(examples: int) -> None:
    """Counts are right, and errors of finite numbers are finite where there are samples."""
    training = torch.tensor([0.0, 0.5, 1.5, 1.5, 2.5, 5.0])
    densities = {
        k: LabelDensity(many=3, few=2).fit(
            training if k == 1 else training.unsqueeze(1).expand(-1, k), Bins([[-9.0, 1, 2, 3, 9]] * k, clamp=True)
        )
        for k in (1, 2, 3)
    }

    def check(data: st.DataObject) -> None:
        shape = data.draw(shapes())
        odd = data.draw(st.sampled_from(("", "", "labels", "predictions")))
        one, other = (
            data.draw(tensors(shape, is_odd=odd == name).filter(has_values)) for name in ("labels", "predictions")
        )
        density = densities[data.draw(st.sampled_from((shape[1] if len(shape) > 1 else 1,) * 3 + (1, 2)))]
        labels, predictions = one.tensor, other.tensor
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = attempt(lambda: regression_metrics(predictions, labels, density))
            if isinstance(found, dict):
                assert found["count"] == len(labels)
                if one.is_moderate and other.is_moderate and len(labels):
                    assert all(math.isfinite(found[name]) for name in ("mae", "mse", "rmse", "gm", "bmae"))
            for make in (shot_metrics, depth_metrics, gaze_metrics):
                attempt(partial(updated, make, density, predictions, labels))
            angles = attempt(lambda: angular_error(predictions, labels))
            if isinstance(angles, Tensor) and one.is_moderate and other.is_moderate:
                assert ((angles >= 0) & (angles <= 180.001)).all()

    search(check, examples, data=st.data())


def updated(make: Callable[..., Any], density: LabelDensity, predictions: Any, labels: Any) -> dict[str, Tensor]:
    metrics = make(density)
    metrics.update(predictions, labels)
    values: dict[str, Tensor] = metrics.compute()
    return values
