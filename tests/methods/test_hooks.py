from typing import Any

import torch
from torch import Tensor, nn

from conr.density import Bins
from conr.losses import L1
from conr.methods import Hooks, Regularizer, Terms, hooks_of


class Told(L1):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def fit(self, labels: Tensor, bins: Bins) -> None:
        self.told.append((len(labels), len(bins)))

    def set_progress(self, share: float) -> None:
        self.told.append(share)

    def on_train_epoch_end(self) -> None:
        self.told.append("end")


def test_a_part_without_methods_has_hooks_that_do_nothing() -> None:
    for part in (None, nn.Identity()):
        hooks: Hooks = hooks_of(part)
        assert hooks.fit(torch.ones(3), Bins([0, 2])) is None
        assert hooks.set_progress(0.5) is hooks.on_train_epoch_end() is hooks.resolved() is None


def test_every_part_of_the_terms_is_told() -> None:
    parts = [Told() for _ in range(3)]
    terms = Terms(parts[0], regularizers={"one": Regularizer(parts[1])}, smoothing=parts[2])
    terms.fit(torch.arange(3.0), Bins([0, 1, 2, 3]))
    terms.begin_epoch(0.5)
    terms.end_epoch()
    assert [part.told for part in parts] == [[(3, 3), 0.5, "end"]] * 3
