"""The regularizers under contract. A new method adds one line and gets every test of test_regularizers.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.oracles.conr import conr_per_anchor
from torch import nn

from conr import ConRLoss

Oracle = Callable[..., list[float]]


@dataclass(frozen=True)
class Case:
    """A configured regularizer with the oracle of its per-sample terms (their sum over n is the loss)."""

    make: Callable[..., nn.Module]
    oracle: Oracle
    settings: dict[str, Any] = field(default_factory=dict)
    label_dimensions: tuple[int, ...] = (1, 2, 3)
    fullgraph: bool = True  # whether torch.compile gets it into one graph

    def build(self, **changes: Any) -> nn.Module:
        """The module with its settings."""
        return self.make(**self.settings, **changes)


def _conr(engine: str = "auto", **settings: Any) -> Case:
    complete = {"window": 1.0, "temperature": 0.4, "distance_scale": 0.1, "push": "exp", "distance": "l2"}
    complete |= {"weight_anchors": True} | settings
    dimensions = (2,) if complete["distance"] == "angular" else (1,) if engine == "windowed" else (1, 2, 3)
    return Case(partial(ConRLoss, engine=engine), conr_per_anchor, complete, dimensions, fullgraph=engine == "auto")


# A window of 1.0 is hit exactly by integer labels under l1, l2 and linf; the angle between two directions is rounded,
# so that a pair at the window's very edge could fall on either side: 1.0005 is no angle between multiples of 0.25.
REGULARIZERS = {
    "conr": _conr(),
    "conr-linear": _conr(push="linear"),
    "conr-paper": _conr(weight_anchors=False),
    "conr-l1": _conr(distance="l1"),
    "conr-linf": _conr(distance="linf", push="linear"),
    "conr-angular": _conr(distance="angular", window=1.0005),
    "conr-blockwise": _conr(engine="blockwise", distance="l1"),
    "conr-windowed": _conr(engine="windowed", push="linear"),
}
