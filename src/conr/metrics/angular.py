"""The angular error of gaze estimation, over all samples and per shot region of the label."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from conr._tensor_checks import check_pair
from conr.density import REGIONS, LabelDensity
from conr.metrics.shot import shot_metrics


def angular_error(predictions: Tensor, labels: Tensor) -> Tensor:
    r"""Angle between each predicted direction and its label, in degrees.

    $$\alpha_i = \arccos(u(\hat y_i) \cdot u(y_i)), \qquad
      u(\theta, \phi) = (\cos\theta \sin\phi, \sin\theta, \cos\theta \cos\phi)$$

    computed by the haversine formula, which keeps all digits of small angles, where arccos loses half of them:

    $$h_i = \sin^2\frac{\hat\theta_i - \theta_i}{2} + \cos\hat\theta_i \cos\theta_i \sin^2\frac{\hat\phi_i - \phi_i}{2},
      \qquad \alpha_i = 2 \operatorname{atan2}(\sqrt{h_i}, \sqrt{1 - h_i})$$

    Symbols: $\theta$ pitch, $\phi$ yaw, $u$ unit vector. Source of the measure: Zhang et al., "Appearance-Based Gaze
    Estimation in the Wild", CVPR 2015. `conr.pairwise.label_distance` gives the same angle for all pairs, in radians.

    Args:
        predictions: pitch and yaw in radians, shape (n, 2), any real dtype.
        labels: like predictions.

    Returns:
        Degrees in [0, 180], shape (n,), float64, without gradient.

    Raises:
        ValueError: other shapes.

    Example:
        >>> import torch
        >>> angular_error(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.3, 0.4]])).item()
        28.366903044283656
    """
    check_pair(predictions, labels)
    if predictions.shape != labels.shape or labels.ndim != 2 or labels.shape[1] != 2:
        raise ValueError(
            "predictions and labels: expected equal shapes (n, 2) of pitch and yaw, "
            f"got {tuple(predictions.shape)} and {tuple(labels.shape)}"
        )
    predictions, labels = predictions.detach().double(), labels.detach().double()
    pitch, yaw = ((predictions - labels) / 2).sin().square().unbind(dim=1)  # (n,), (n,)
    cosines = predictions[:, 0].cos() * labels[:, 0].cos()  # (n,); negative for a pitch beyond the zenith
    haversine = (pitch + cosines * yaw).clamp(0, 1)  # (n,)
    return torch.rad2deg(2 * torch.atan2(haversine.sqrt(), (1 - haversine).sqrt()))


class AngularErrorMetric(Metric):
    """``angular``: mean of `angular_error` in degrees, over all samples and per shot region, from streaming sums.

    ``compute`` gives ``angular``, ``angular_many``, ``angular_median`` and ``angular_few``, float64 scalars in degrees;
    NaN for a region without samples. With several processes the result is that of one that has seen all samples.

    Args:
        density: fitted on the training labels, pitch and yaw in radians; gives the shot region of each label.
        **settings: of `torchmetrics.Metric`.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, density: LabelDensity, **settings: Any) -> None:
        super().__init__(**settings)
        dimensions = density.fitted_bins().dimensions
        if dimensions != 2:
            raise ValueError(f"density: expected bins over two label dimensions, pitch and yaw, got {dimensions}")
        self.density = density
        self.add_state("sums", torch.zeros(1 + len(REGIONS), 2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a batch: pitch and yaw in radians, both (n, 2)."""
        errors = angular_error(predictions, labels)  # (n,)
        per_sample = torch.stack((torch.ones_like(errors), errors), dim=1)  # (n, 2)
        self.sums[0] += per_sample.sum(dim=0)
        self.sums.index_add_(0, 1 + self.density.regions(labels, check=False), per_sample)

    def compute(self) -> dict[str, Tensor]:
        """Mean angular error by region."""
        count, degrees = self.sums.T  # (1 + regions,) each; 0 / 0 is the NaN of an empty region
        keys = ("angular", *(f"angular_{region}" for region in REGIONS))
        return dict(zip(keys, degrees / count, strict=True))


def gaze_metrics(density: LabelDensity, *, prefix: str = "") -> MetricCollection:
    """The metrics of `shot_metrics` (in radians) and ``angular``, the mean angular error (in degrees).

    Args:
        density: fitted on the training labels, pitch and yaw in radians.
        prefix: put before each key.

    Raises:
        RuntimeError: a density that is not fitted.
        ValueError: bins over another number of label dimensions than two; (from update) shapes that are not (n, 2).

    Example:
        >>> import torch
        >>> from conr.density import Bins, LabelDensity
        >>> labels = torch.tensor([[0.0, 0.0], [0.0, 0.1]])
        >>> density = LabelDensity(Bins([[-1, 1], [-1, 0.05, 1]])).fit(labels)
        >>> metrics = gaze_metrics(density, prefix="test/")
        >>> metrics.update(labels + torch.tensor([0.02, 0.0]), labels)
        >>> round(metrics.compute()["test/angular"].item(), 3)
        1.146
    """
    metrics = shot_metrics(density, prefix=prefix)
    metrics.add_metrics(AngularErrorMetric(density))
    return metrics
