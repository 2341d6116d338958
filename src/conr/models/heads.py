"""Heads: features to predictions."""

import torch
from torch import Tensor, nn

from conr._checks import check_number
from conr.losses.evidential import evidential_parameters
from conr.losses.uvote import uvote_vote
from conr.losses.vir import vir_parameters


class LinearHead(nn.Module):
    """One linear layer: features (n, d) to predictions (n,), or (n, k) for k label dimensions.

    Args:
        in_features: d.
        out_features: label dimensions.
        scale: factor of the layer's output: the unit in which it predicts, in label units, for recipes that divide the
            labels by a number.

    Raises:
        ValueError: a number of features below 1; a scale that is not positive.
    """

    def __init__(self, in_features: int, out_features: int = 1, *, scale: float = 1.0) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        check_number("scale", scale, low=0, open_low=True)
        self.scale = scale
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features: Tensor) -> Tensor:
        """Predictions (n,) or (n, k) of features (n, d)."""
        return self.scale * _linear_outputs(self.linear, features, ())


class EvidentialHead(nn.Module):
    """One linear layer with four outputs per label dimension, for `conr.losses.Evidential`.

    `point` turns its outputs into predictions, `conr.losses.evidential_parameters` into uncertainties.

    Args:
        in_features: d.
        out_features: label dimensions.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> import torch
        >>> head = EvidentialHead(8)
        >>> outputs = head(torch.zeros(3, 8))
        >>> outputs.shape, head.point(outputs).shape
        (torch.Size([3, 4]), torch.Size([3]))
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        self.linear = nn.Linear(in_features, 4 * out_features)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (n, 4), or (n, k, 4) for k label dimensions, of features (n, d)."""
        return _linear_outputs(self.linear, features, (4,))

    def point(self, outputs: Tensor) -> Tensor:
        """The expected labels, shape (n,) or (n, k)."""
        return evidential_parameters(outputs).mean


class UVOTEHead(nn.Module):
    """Several linear layers, each with a location and a log-scale per label dimension, for `conr.losses.UVOTE`.

    `point` turns its outputs into the predictions of the surest head, `conr.losses.uvote_vote` into deviations as well.

    Args:
        in_features: d.
        out_features: label dimensions.
        heads: how many, as many as the criterion's.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> import torch
        >>> head = UVOTEHead(8, heads=3)
        >>> outputs = head(torch.zeros(5, 8))
        >>> outputs.shape, head.point(outputs).shape
        (torch.Size([5, 3, 2]), torch.Size([5]))
    """

    def __init__(self, in_features: int, out_features: int = 1, *, heads: int = 2) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        check_number("heads", heads, low=1)
        self.heads = heads
        self.linear = nn.Linear(in_features, out_features * heads * 2)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (n, heads, 2), or (n, k, heads, 2) for k label dimensions, of features (n, d)."""
        return _linear_outputs(self.linear, features, (self.heads, 2))

    def point(self, outputs: Tensor) -> Tensor:
        """The predictions of the surest head, shape (n,) or (n, k)."""
        return uvote_vote(outputs).predictions


class VIRHead(nn.Module):
    """One linear layer with three outputs per label dimension, for `conr.losses.VIR`.

    `point` turns its outputs into predictions, `conr.losses.vir_parameters` into uncertainties.

    Args:
        in_features: d.
        out_features: label dimensions.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> import torch
        >>> head = VIRHead(8)
        >>> outputs = head(torch.zeros(5, 8))
        >>> outputs.shape, head.point(outputs).shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        self.linear = nn.Linear(in_features, 3 * out_features)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (n, 3), or (n, k, 3) for k label dimensions, of features (n, d)."""
        return _linear_outputs(self.linear, features, (3,))

    def point(self, outputs: Tensor) -> Tensor:
        """The expected labels, shape (n,) or (n, k)."""
        return vir_parameters(outputs).mean


def _linear_outputs(linear: nn.Linear, features: Tensor, per_label: tuple[int, ...]) -> Tensor:
    if features.ndim != 2 or features.shape[1] != linear.in_features:
        raise ValueError(f"features: expected shape (n, {linear.in_features}), got {tuple(features.shape)}")
    outputs: Tensor = linear(features)  # (n, k * ...)
    outputs = torch.unflatten(outputs, 1, (-1, *per_label))  # (n, k, ...)
    return outputs.squeeze(1) if outputs.shape[1] == 1 else outputs
