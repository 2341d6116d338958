"""Random views of eyes that look where they looked before."""

import torch
from torch import Tensor, nn

from conr._checks import check_number
from conr.data.views import ImageViews


class GazeViews(nn.Module):
    """Shift the image of each eye by some pixels, change its brightness, and add noise; everything else stays.

    Nothing of this changes where the eye looks: a shift moves iris and lids alike. Mirroring would, so it is not done.
    The head's pose, and any input besides ``"image"``, is passed on as it is.

    Args:
        shift: largest shift along each axis, in whole pixels; what moves in repeats the border pixel.
        brightness: largest change that is added to all pixels of an image, in units of the pixels (gray in [0, 1]).
        noise: standard deviation of Gaussian noise, in units of the pixels.

    Raises:
        ValueError: a negative number; (from forward) inputs without images of shape (n, channels, height, width).
    """

    def __init__(self, *, shift: int = 2, brightness: float = 0.1, noise: float = 0.02) -> None:
        super().__init__()
        check_number("brightness", brightness, low=0)
        self.images = ImageViews(shift=shift, noise=noise)
        self.brightness = brightness

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """A view of inputs with images (n, channels, height, width) under ``"image"``; same names and shapes."""
        if not isinstance(inputs, dict) or "image" not in inputs:
            got = ", ".join(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(f"inputs: expected several by name, one of them 'image', got {got}")
        images = self.images(inputs["image"])
        change = torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device) * 2 - 1
        return {**inputs, "image": images + self.brightness * change}
