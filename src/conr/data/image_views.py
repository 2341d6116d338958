"""Random views of images: moved, mirrored and rotated with their dense labels, in other colours, with noise."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._auto import AUTO, Auto, given, number
from conr._checks import check_number, check_share
from conr.data.views import check_inputs

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Principal components of the colours of ImageNet's pixels, in [0, 1]: standard deviations, and directions as columns.
COLOR_DEVIATIONS = (0.2175, 0.0188, 0.0045)
COLOR_DIRECTIONS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))

GREY = (0.299, 0.587, 0.114)

_HEIGHT_PER_SHIFT = 14


class ImageViews(nn.Module):
    """Shift each image by some pixels and mirror it, differently for each, and add noise.

    With a fill this is a random crop of the padded image: ``shift=16, fill=-1.0, flip=0.5, noise=0.0`` is the
    augmentation of the age benchmarks on images of 224 x 224 normalised to [-1, 1], where black is -1.

    Args:
        shift: largest shift along each axis, in whole pixels; "auto" is a 14th of the height, 16 of 224.
        fill: value of the pixels that move in, in units of the (normalised) pixels; None repeats the border pixel.
        flip: probability that an image is mirrored, left to right.
        noise: standard deviation of Gaussian noise, in units of the (normalised) pixels.

    Raises:
        ValueError: a negative shift or noise, or a flip outside [0, 1].
    """

    def __init__(
        self, *, shift: int | Auto = 2, fill: float | None = None, flip: float = 0.0, noise: float = 0.1
    ) -> None:
        super().__init__()
        check_number("shift", given(shift), low=0)
        if fill is not None:
            check_number("fill", fill)
        check_share("flip", flip)
        check_number("noise", noise, low=0)
        self.shift = shift
        self.fill = fill
        self.flip = flip
        self.noise = noise

    def forward(self, images: Tensor) -> Tensor:
        """A view of floating-point images (n, channels, height, width), same shape."""
        check_inputs("images", images, ("n", "channels", "height", "width"))
        if self.shift or self.flip:
            images = self._moved(images)
        return images + self.noise * torch.randn_like(images) if self.noise else images.contiguous()

    def _moved(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        shift = round(height / _HEIGHT_PER_SHIFT) if self.shift == AUTO else number("shift", self.shift)
        border = (shift,) * 4
        padded = (
            F.pad(images, border, mode="replicate") if self.fill is None else F.pad(images, border, value=self.fill)
        )  # (n, c, height + 2 shift, width + 2 shift)
        offsets = torch.randint(0, 2 * shift + 1, (2, n, 1), device=images.device)
        rows = offsets[0] + torch.arange(height, device=images.device)  # (n, height)
        columns = offsets[1] + torch.arange(width, device=images.device)  # (n, width)
        if self.flip:
            mirrored = torch.rand(n, 1, device=images.device) < self.flip  # (n, 1)
            columns = torch.where(mirrored, columns.flip(1), columns)
        sample = torch.arange(n, device=images.device).view(n, 1, 1)
        return padded[sample, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)  # (n, c, h, w)


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
        check_share("flip", flip)
        check_share("jitter", jitter)
        check_number("degrees", degrees, low=0)
        check_number("lighting", lighting, low=0)
        for name, numbers in (("mean", mean), ("std", std)):
            if len(numbers) != 3:
                raise ValueError(f"{name}: expected 3 numbers, one per colour, got {len(numbers)}")
        for one in std:
            check_number("std", one, low=0, open_low=True)
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
            pixels, turned_grid(mirror, angle, pixels.shape), mode="bilinear", padding_mode="zeros", align_corners=False
        )
        valid = ~labels.isnan()  # (n, k, h, w)
        known = torch.cat((labels.where(valid, 0), valid.to(labels.dtype)), dim=1)  # (n, 2 k, h, w)
        known = F.grid_sample(
            known, turned_grid(mirror, angle, labels.shape), mode="nearest", padding_mode="zeros", align_corners=False
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


def turned_grid(mirror: Tensor, angle: Tensor, shape: torch.Size) -> Tensor:
    """Source of each pixel of images that are mirrored where ``mirror`` (n,) is -1, then turned anticlockwise.

    Angles (n,) are in radians; pixels are square, whatever the shape of the image. The y axis points down.
    """
    height, width = shape[2:]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = (mirror * cosine, -mirror * sine * (height / width), zero, sine * (width / height), cosine, zero)
    return F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(shape), align_corners=False)
