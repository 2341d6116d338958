"""Random views of images with dense labels: a depth map turns with its image."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_number

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Principal components of the colours of ImageNet's pixels, in [0, 1]: standard deviations, and directions as columns.
COLOR_DEVIATIONS = (0.2175, 0.0188, 0.0045)
COLOR_DIRECTIONS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))

GREY = (0.299, 0.587, 0.114)


class DenseViews(nn.Module):
    """Mirror and rotate colour images together with their dense labels, and change the colours of the images.

    As the depth benchmark augments (NYUD2-DIR, after Hu et al., WACV 2019), each image differently: mirrored left to
    right or not; rotated; colours moved along ImageNet's principal components; brightness, contrast and saturation each
    multiplied by a factor, in an order drawn for the batch. Images are taken bilinear, labels from the nearest pixel,
    so that no depth is made up between two. What turns into the image from outside is black and has no label (NaN).

    Differences from the released code: images are rotated after they were cropped, not before, and pixels from outside
    have no label instead of the depth 0.

    Args:
        flip: probability that an image is mirrored.
        degrees: largest angle, to either side.
        lighting: standard deviation of the move along each principal component, in units of that component's.
        jitter: brightness, contrast and saturation are multiplied by a factor from 1 - jitter to 1 + jitter.
        mean: per channel, by which the images were normalised.
        std: per channel, by which the images were normalised.

    Raises:
        ValueError: a flip or jitter outside [0, 1], a negative number, or not three numbers for mean and std.
    """

    changes_labels = True

    def __init__(
        self,
        *,
        flip: float = 0.5,
        degrees: float = 5.0,
        lighting: float = 0.1,
        jitter: float = 0.4,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        for name, share in (("flip", flip), ("jitter", jitter)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: expected a number in [0, 1], got {share}")
        check_number("degrees", degrees, low=0)
        check_number("lighting", lighting, low=0)
        for name, numbers in (("mean", mean), ("std", std)):
            if len(numbers) != 3:
                raise ValueError(f"{name}: expected 3 numbers, one per colour, got {len(numbers)}")
        for number in std:
            check_number("std", number, low=0, open_low=True)
        self.flip = flip
        self.degrees = degrees
        self.lighting = lighting
        self.jitter = jitter
        components = torch.tensor(COLOR_DIRECTIONS) * torch.tensor(COLOR_DEVIATIONS)  # (3 colours, 3 components)
        for name, tensor in (
            ("mean", torch.tensor(mean).view(3, 1, 1)),
            ("std", torch.tensor(std).view(3, 1, 1)),
            ("grey", torch.tensor(GREY).view(3, 1, 1)),
            ("components", components),
        ):
            self.register_buffer(name, tensor, persistent=False)

    mean: Tensor
    std: Tensor
    grey: Tensor
    components: Tensor

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A view of floating-point images (n, 3, h, w) and labels (n, k, h', w'), of the same shapes.

        The two may differ in resolution: both show the whole scene.

        Raises:
            ValueError: other shapes, or another number of labels than of images.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images: expected shape (n, 3, h, w), got {tuple(images.shape)}")
        if labels.ndim != 4 or len(labels) != len(images):
            raise ValueError(f"labels: expected shape ({len(images)}, k, h, w), got {tuple(labels.shape)}")
        pixels = images * self.std + self.mean  # (n, 3, h, w), in [0, 1]
        if self.flip or self.degrees:
            pixels, labels = self._moved(pixels, labels)
        if self.lighting:
            shares = self.lighting * torch.randn(len(images), 3, device=images.device)  # (n, components)
            pixels = pixels + (shares @ self.components.T).view(-1, 3, 1, 1)
        if self.jitter:
            pixels = self._jittered(pixels)
        return ((pixels - self.mean) / self.std).to(images.dtype), labels

    def _moved(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        n, device = len(pixels), pixels.device
        mirror = torch.where(torch.rand(n, device=device) < self.flip, -1.0, 1.0)  # (n,)
        angle = (2 * torch.rand(n, device=device) - 1) * (self.degrees * math.pi / 180)  # (n,)
        images = F.grid_sample(
            pixels, _grid(mirror, angle, pixels.shape), mode="bilinear", padding_mode="zeros", align_corners=False
        )
        valid = ~labels.isnan()  # (n, k, h, w)
        known = torch.cat((labels.where(valid, 0), valid.to(labels.dtype)), dim=1)  # (n, 2 k, h, w)
        known = F.grid_sample(
            known, _grid(mirror, angle, labels.shape), mode="nearest", padding_mode="zeros", align_corners=False
        )
        values, inside = known.chunk(2, dim=1)
        return images, values.where(inside > 0, torch.nan)

    def _jittered(self, pixels: Tensor) -> Tensor:
        factors = 1 + self.jitter * (2 * torch.rand(3, len(pixels), 1, 1, 1, device=pixels.device) - 1)
        brightness, contrast, _ = range(3)  # the third is the saturation
        for change in torch.randperm(3).tolist():  # drawn on the CPU: nobody waits for a GPU
            if change == brightness:
                other = torch.zeros_like(pixels)
            else:
                other = (pixels * self.grey).sum(dim=1, keepdim=True)  # (n, 1, h, w)
                if change == contrast:
                    other = other.mean(dim=(2, 3), keepdim=True)  # (n, 1, 1, 1)
            pixels = other + factors[change] * (pixels - other)
        return pixels


def _grid(mirror: Tensor, angle: Tensor, shape: torch.Size) -> Tensor:
    """Where each pixel of a view comes from; a rotation of square pixels, whatever the shape of the image."""
    height, width = shape[2:]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = (mirror * cosine, -mirror * sine * (height / width), zero, sine * (width / height), cosine, zero)
    return F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(shape), align_corners=False)
