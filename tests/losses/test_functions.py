"""The functions behind the modules check what the constructors check."""

import pytest
import torch
from tests.contracts.criteria import CRITERIA
from tests.contracts.registry import REGULARIZERS

from conr.losses import accon_loss, elementwise_loss, focal_r_loss
from conr.losses._common import FeatureLoss, SampleLoss
from conr.testing import CriterionCase, RegularizerCase

ALL: dict[str, RegularizerCase | CriterionCase] = {**REGULARIZERS, **CRITERIA}
CASES = {
    name: case
    for name, case in ALL.items()
    if case.refused and isinstance(case.make, type) and issubclass(case.make, FeatureLoss | SampleLoss)
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_settings_are_refused(name: str) -> None:
    case = CASES[name]
    module, batch = case.module(), case.batch()
    assert isinstance(module, FeatureLoss | SampleLoss)
    known = module.settings()  # others are of the module alone
    for setting, values in {**case.refused, "reduction": ("avg",)}.items():
        for value in values if setting in known else ():
            with pytest.raises((TypeError, ValueError), match=f"{setting}: expected"):
                type(module).function(*case.inputs(batch)[:2], **{**known, setting: value})


def test_errors_say_what_was_expected() -> None:
    features, labels = torch.zeros(4, 3), torch.zeros(4)
    with pytest.raises(ValueError, match=r"features: expected shape \(n, d\), got \(4,\)"):
        accon_loss(labels, labels, label_range=1)
    with pytest.raises(ValueError, match="labels: expected 4 samples like features, got 5"):
        accon_loss(features, torch.zeros(5), label_range=1)
    with pytest.raises(ValueError, match=r"weights: expected shape \(4,\), got \(3,\)"):
        accon_loss(features, labels, label_range=1, weights=torch.ones(3))
    with pytest.raises(TypeError, match="label_range: expected a number, got str"):
        accon_loss(features, labels, label_range="60")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="distance: expected one of 'l1', 'l2', 'linf', 'angular', got 'l3'"):
        accon_loss(features, labels, label_range=1, distance="l3")
    with pytest.raises(ValueError, match="kind: expected one of 'l1', 'mse', got 'l2'; did you mean 'l1'"):
        focal_r_loss(labels, labels, kind="l2")
    with pytest.raises(ValueError, match=r"expected equal shapes \(n,\) or \(n, k\), got \(4, 3\) and \(4,\)"):
        elementwise_loss(features, labels)
