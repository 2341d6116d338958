"""The angular error of gaze estimation, over all samples and per shot region of the label."""

import torch
from torch import Tensor

from conr._tensor_checks import check_pair
from conr.density import LabelDensity
from conr.metrics.shot import by_region, region_sums


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


def angular_statistics(predictions: Tensor, labels: Tensor, density: LabelDensity) -> Tensor:
    """Count and angular errors of a batch, over all samples and by region: float64, shape (1 + regions, 2).

    Arguments and errors are those of `angular_error`, and a fitted density, which gives the shot region of each label.
    """
    errors = angular_error(predictions, labels)  # (n,)
    return region_sums(torch.stack((torch.ones_like(errors), errors), dim=1), labels, density)


def angular_values(sums: Tensor) -> dict[str, Tensor]:
    """Mean angular error in degrees by region, from the sums of `angular_statistics`, shape (1 + regions, 2)."""
    count, degrees = sums.T  # (1 + regions,) each; 0 / 0 is the NaN of an empty region
    return by_region("angular", degrees / count)
