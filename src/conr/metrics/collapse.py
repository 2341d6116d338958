"""Collapse of features, as the predictions of training batches show it."""

import torch
from torch import Tensor
from torchmetrics import Metric

from conr._checks import check_number
from conr.density import REGIONS, LabelDensity
from conr.losses import conr_statistics
from conr.pairwise import Distance


class CollapseMetric(Metric):
    r"""Share of same-prediction pairs whose labels differ, over all samples and per shot region; see `conr_statistics`.

    ``compute`` returns ``{prefix}collapse``, ``{prefix}collapse_many``, ... (NaN where no predictions agree), and the
    means per batch of ``{prefix}anchors`` and per sample of ``{prefix}positives`` and ``{prefix}negatives``.

    Args:
        density: fitted; gives the shot region of each label.
        window: labels (predictions) within it count as alike, in label units.
        distance: as for `conr_loss`.
        prefix: put before each key.
    """

    agreeing: Tensor
    colliding: Tensor
    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    samples: Tensor
    batches: Tensor

    def __init__(self, density: LabelDensity, *, window: float, distance: Distance = "l2", prefix: str = "") -> None:
        super().__init__()
        check_number("window", window, low=0, open_low=True)
        self.density = density
        self.window = window
        self.distance = distance
        self.prefix = prefix
        for name in ("agreeing", "colliding"):
            self.add_state(name, torch.zeros(len(REGIONS), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("anchors", "positives", "negatives", "samples", "batches"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Count the pairs of one batch: predictions and labels (n,) or (n, k)."""
        found = conr_statistics(
            labels,
            predictions,
            window=self.window,
            distance=self.distance,
            regions=self.density.regions(labels, check=False),
            num_regions=len(REGIONS),
        )
        self.agreeing += found.agreeing
        self.colliding += found.colliding
        self.anchors += found.anchors
        self.positives += found.positives.sum()
        self.negatives += found.negatives.sum()
        self.samples += len(labels)
        self.batches += 1

    def compute(self) -> dict[str, Tensor]:
        """The shares and means over all batches since the last reset."""
        shares = {"collapse": self.colliding.sum() / self.agreeing.sum()}
        for region, name in enumerate(REGIONS):
            shares[f"collapse_{name}"] = self.colliding[region] / self.agreeing[region]
        shares["anchors"] = self.anchors / self.batches
        shares["positives"] = self.positives / self.samples
        shares["negatives"] = self.negatives / self.samples
        return {f"{self.prefix}{name}": value.float() for name, value in shares.items()}
