"""Decoding of one image file, to a square of wanted pixels."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from conr.data.picture_files import PictureFile, ZipMember

MODES = {1: "L", 3: "RGB"}
"""Pillow's name of the colour mode, by number of channels."""

_TURNING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
"""Entries of a file that tell how the camera was held, by the names that Pillow gives them."""

LARGEST_USUAL = 224
"""Pixels along each side that `usual_size` gives at most."""


def read_image(file: PictureFile, *, size: int, channels: int = 3) -> Tensor:
    """Decode an image and resize it, bilinear with antialiasing, to a square; the aspect ratio is not kept.

    The image is turned as a viewer shows it: cameras and telephones note in the file how they were held (EXIF).

    Args:
        file: any format that Pillow reads, with 8 bits per channel.
        size: pixels along each side.
        channels: 3 for colour, 1 for grey.

    Returns:
        Shape (channels, size, size), uint8.

    Raises:
        ValueError: the file is missing, broken, no image, or has more than 8 bits per channel.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415  optional

    try:
        with Image.open(_opened(file)) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                raise ValueError(f"expected 8 bits per channel, got Pillow's mode {image.mode!r}")
            upright = ImageOps.exif_transpose(image) if image.info.keys() & _TURNING else image
            coloured = upright if upright.mode == MODES[channels] else upright.convert(MODES[channels])
            resized = coloured.resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    pixels = torch.from_numpy(np.array(resized))  # (size, size) or (size, size, 3)
    return pixels.reshape(size, size, channels).permute(2, 0, 1).contiguous()


def usual_size(files: Sequence[PictureFile]) -> int:
    """The median of the images' shorter sides, at most 224 pixels; 224 if none can be read.

    Args:
        files: images, of which the headers are read.
    """
    from PIL import Image  # noqa: PLC0415  optional

    sides = []
    for file in files:
        try:
            with Image.open(_opened(file)) as image:
                sides.append(min(image.size))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
            continue  # told when its turn comes
    return min(int(np.median(sides)), LARGEST_USUAL) if sides else LARGEST_USUAL


def _opened(file: PictureFile) -> str | io.BytesIO:
    return io.BytesIO(file.read()) if isinstance(file, ZipMember) else file
