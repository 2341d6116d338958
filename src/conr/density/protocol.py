"""What gives sample weights."""

from typing import Protocol, Self

from torch import Tensor

from conr.density.bins import Bins


class SampleWeights(Protocol):
    """A module that learns from the training labels how much each label counts: `LabelDensity`, `DenseWeight`.

    A class of your own that a configuration file names must have exactly these signatures.
    """

    def fit(self, labels: Tensor, bins: Bins | None = None) -> Self:
        """Learn from the training labels (n,) or (n, k); returns self."""

    def weights(self, labels: Tensor, *, check: bool = True) -> Tensor:
        """Weight of each label, shape (n,); values are checked if ``check``."""
