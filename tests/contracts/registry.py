"""The regularizers under contract. A new method adds one line and gets every check of `conr.testing`."""

from typing import Any

from tests.oracles.conr import conr_per_anchor

from conr import ConRLoss
from conr.testing import RegularizerCase


def _conr(**settings: Any) -> RegularizerCase:
    complete = {"window": 1.0, "temperature": 0.4, "distance_scale": 0.1, "push": "exp", "distance": "l2"}
    complete |= {"weight_anchors": True} | settings
    return RegularizerCase(
        ConRLoss,
        complete,
        conr_per_anchor,
        label_dimensions=(2,) if complete["distance"] == "angular" else (1, 2, 3),
        zero_on=("no samples", "one sample", "equal labels", "far labels", "far predictions"),
        stress=({"temperature": 0.01},),
    )


# A window of 1.0 is hit exactly by integer labels under l1, l2 and linf; the angle between two directions is rounded,
# so that a pair at the window's very edge could fall on either side: 1.0005 is no angle between multiples of 0.25.
REGULARIZERS = {
    "conr": _conr(),
    "conr-linear": _conr(push="linear"),
    "conr-paper": _conr(weight_anchors=False),
    "conr-l1": _conr(distance="l1"),
    "conr-linf": _conr(distance="linf", push="linear"),
    "conr-angular": _conr(distance="angular", window=1.0005),
}
