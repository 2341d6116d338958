import math

import pytest
from tests.training.toy import Toy, trainer

from conr import ConRLoss, LabelDensity
from conr.losses import RankSimLoss
from conr.models import MLP
from conr.training import ConfusionLogger, RegressionModule, Regularizer


@pytest.mark.parametrize("standardise", [False, True])
def test_probabilities_and_bounds_are_logged(standardise: bool) -> None:
    regularizer = Regularizer(ConRLoss(window=0.4), density=LabelDensity(scheme="sqrt_inverse"))
    module = RegressionModule(MLP(3, hidden=(8, 6)), regularizers={"conr": regularizer}, standardise_labels=standardise)
    run = trainer(2, ConfusionLogger())
    run.fit(module, datamodule=Toy(batch_size=24))
    logged = {name: float(value) for name, value in run.callback_metrics.items() if "confusion" in name}
    assert set(logged) == {
        f"train/{name}{region}"
        for name in ("confusion", "confusion_bound")
        for region in ("", "_many", "_median", "_few")
    }
    pairs = [(logged[f"train/confusion{region}"], logged[f"train/confusion_bound{region}"]) for region in ("", "_few")]
    assert all(0 <= value <= bound + 1e-6 <= 1 + 1e-6 for value, bound in pairs if not math.isnan(value))
    assert not math.isnan(pairs[0][0])
    assert not regularizer.loss._forward_hooks


def test_conr_must_be_there() -> None:
    module = RegressionModule(MLP(3, hidden=(8, 6)), regularizers={"ranksim": Regularizer(RankSimLoss())})
    with pytest.raises(ValueError, match="expected a RegressionModule with ConRLoss among its regularizers"):
        trainer(2, ConfusionLogger()).fit(module, datamodule=Toy(batch_size=24))
    with pytest.raises(ValueError, match="every: expected a number of at least 1"):
        ConfusionLogger(every=0)
