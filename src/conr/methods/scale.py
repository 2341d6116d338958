"""Mean and deviation of the training labels: standardised labels for methods, label units for everybody else."""

from typing import NamedTuple

import torch
from torch import Tensor

from conr.density import Bins


class LabelScale(NamedTuple):
    """Mean and standard deviation of the training labels, shape (k,); standardised labels have 0 and 1."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> "LabelScale":
        """The scale of labels (n,) or (n, k), float64; the deviation of labels that are all equal is 1.

        Raises:
            ValueError: labels of another shape, or so large ones that their deviation is no finite number.
        """
        if labels.ndim > 2:
            raise ValueError(f"standardised labels: expected shape (n,) or (n, k), got {tuple(labels.shape)}")
        columns = labels.reshape(len(labels), -1).double()  # (n, k)
        deviation = columns.std(dim=0, correction=0)  # (k,)
        if not deviation.isfinite().all():
            raise ValueError("labels: expected a finite standard deviation, got too large ones")
        return cls(columns.mean(dim=0), torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def standardised(self, labels: Tensor) -> Tensor:
        """Labels (n,) or (n, k) in deviations from the mean."""
        return (labels - self.mean) / self.deviation

    def in_label_units(self, standardised: Tensor) -> Tensor:
        """Standardised labels or predictions (n,) or (n, k) in label units."""
        return standardised * self.deviation + self.mean

    def bins(self, bins: Bins) -> Bins:
        """The bins in deviations, clamped, as a label at the outer edge may be rounded beyond it."""
        scales = zip(bins.edges, self.mean.tolist(), self.deviation.tolist(), strict=True)
        return Bins([((edges - mean) / deviation).tolist() for edges, mean, deviation in scales], clamp=True)


def flat(labels: Tensor) -> Tensor:
    """Labels (n, k) as (n,) if k is 1."""
    return labels.squeeze(1) if labels.shape[1] == 1 else labels
