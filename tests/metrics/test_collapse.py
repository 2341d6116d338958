import math

import pytest
import torch

from conr.density import Bins, LabelDensity
from conr.metrics import CollapseMetric

# One bin with many, one with few training labels.
DENSITY = LabelDensity(Bins([0, 10, 20, 30]), many=2, few=2).fit(torch.tensor([5.0] * 3 + [15.0] + [25.0] * 2))


def test_values_by_hand() -> None:
    metric = CollapseMetric(DENSITY, window=1.0, prefix="train/")
    # All three predictions agree; labels 1 and 2 are alike, 15 is not: 6 ordered pairs, 4 of them colliding.
    metric.update(torch.tensor([5.0, 5.5, 5.0]), torch.tensor([1.0, 2.0, 15.0]))
    # Labels are alike, predictions are not: no anchor and no agreeing pair.
    metric.update(torch.tensor([0.0, 9.0]), torch.tensor([3.0, 4.0]))
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == pytest.approx(
        {
            "train/collapse": 4 / 6,
            "train/collapse_many": 2 / 4,
            "train/collapse_median": math.nan,
            "train/collapse_few": 2 / 2,
            "train/anchors": 2 / 2,  # of two batches, the first has the anchors 1 and 2
            "train/positives": 4 / 5,
            "train/negatives": 4 / 5,
        },
        nan_ok=True,
    )


def test_reset() -> None:
    metric = CollapseMetric(DENSITY, window=1.0)
    metric.update(torch.tensor([5.0, 5.0]), torch.tensor([1.0, 15.0]))
    metric.reset()
    metric.update(torch.tensor([5.0, 5.0]), torch.tensor([1.0, 1.0]))
    assert metric.compute()["collapse"] == 0


def test_wrong_window() -> None:
    with pytest.raises(ValueError, match="window: expected a number above 0"):
        CollapseMetric(DENSITY, window=0.0)
