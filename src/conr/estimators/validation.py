"""Validation rows, and the error of a network on them."""

import math

import torch
from torch import Tensor

from conr.density import REGIONS, Bins, LabelDensity
from conr.estimators.network import TableNetwork, in_batches
from conr.methods.scale import flat

MONITORS = ("mae", "bmae", "few")


class Validation:
    """Rows that choose the best epoch. What depends on their labels alone is computed once.

    Args:
        inputs: shape (n, columns), on the device of the network.
        targets: shape (n, k), labels as the network predicts them.
        labels: shape (n, k), in label units.
        bins: of the labels, in label units.
        density: training counts, for the shot region.
        monitor: "mae", "bmae" (mean over label bins) or "few" (of few-shot rows; of all if there are none).
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor, labels: Tensor, *, bins: Bins, density: LabelDensity, monitor: str
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        values = flat(labels.cpu())
        shares = torch.ones(len(labels), dtype=torch.float64)  # (n,): of each row in the error
        if monitor == "few":
            few = density.regions(values) == REGIONS.index("few")
            shares = few.double() if few.any() else shares
        elif monitor == "bmae":
            index = bins.index(values)
            shares = 1 / index.bincount()[index].double()
        self.shares = (shares / shares.sum()).to(inputs.device)

    def error(self, network: TableNetwork) -> float:
        """The monitored error, in deviations of the label; infinite if it is no number."""
        _, predictions = in_batches(network, self.inputs)
        errors = (predictions.reshape(self.targets.shape) - self.targets).abs().mean(dim=1)  # (n,)
        value = float(errors.double() @ self.shares)
        return value if math.isfinite(value) else math.inf
