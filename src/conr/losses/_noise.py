"""The noise scale of Balanced MSE: a number, a tensor, or a parameter that no step can make negative."""

import math

import torch
from torch import Tensor, nn

from conr._auto import Auto, given, number
from conr._checks import check_number
from conr._tensor_checks import check_device


class NoiseScale(nn.Module):
    """A positive standard deviation, stored as its logarithm.

    Args:
        noise_scale: value at the start, in label units; positive. Of "auto" the logarithm is 0 until it is a number.
        learn: whether it is trained.
    """

    def __init__(self, noise_scale: float | Auto, *, learn: bool) -> None:
        super().__init__()
        check_number("noise_scale", given(noise_scale), low=0, open_low=True)
        self.noise_scale = noise_scale
        self.log = nn.Parameter(torch.tensor(math.log(given(noise_scale))), requires_grad=learn)

    def resolved(self) -> None:
        """Start from the number that "auto" has become."""
        with torch.no_grad():
            self.log.fill_(math.log(number("noise_scale", self.noise_scale)))

    def forward(self) -> Tensor:
        """The standard deviation, a scalar."""
        number("noise_scale", self.noise_scale)
        return self.log.exp()

    def extra_repr(self) -> str:
        """Value, for printing."""
        return f"{self.log.exp().item():g}, learn={self.log.requires_grad}"


def noise_variance(noise_scale: float | Tensor, like: Tensor) -> Tensor:
    """Square of a positive number or scalar tensor, in the dtype and on the device of ``like``."""
    if not isinstance(noise_scale, Tensor):
        check_number("noise_scale", noise_scale, low=0, open_low=True)
        return like.new_full((), noise_scale).square()
    if noise_scale.ndim != 0:
        raise ValueError(f"noise_scale: expected a number or a scalar tensor, got shape {tuple(noise_scale.shape)}")
    check_device("noise_scale", noise_scale, like.device)
    return noise_scale.to(like.dtype).square()
