"""Dense labels in training: maps (n, k, h, w) in the place of rows; rows pass through unchanged."""

import torch
import torch.nn.functional as F
from torch import Tensor

from conr.density import SampleWeights
from conr.losses import masked_rows, pixel_rows, sample_patches, valid_pixels

COLLAPSE_PIXELS = 1024
KEPT_PIXELS = 64


def is_dense(labels: Tensor) -> bool:
    """Tell maps (n, k, h, w) from labels (n,) or (n, k)."""
    return labels.ndim == 4


def label_weights(density: SampleWeights | None, labels: Tensor) -> Tensor | None:
    """Weights of labels (n,) or (n, k), or of each pixel of maps as (n, h, w); None without a density.

    Labels were checked when the dataset was loaded; checking again here would make a GPU wait. The weight of a pixel
    without a label means nothing.
    """
    if density is None:
        return None
    if not is_dense(labels):
        return density.weights(labels, check=False)
    n, _, height, width = labels.shape
    return density.weights(pixel_rows(labels), check=False).view(n, height, width)


def criterion_rows(outputs: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows for a criterion: of maps the valid pixels; see `conr.losses.masked_rows`."""
    return masked_rows(outputs, labels, weights) if is_dense(labels) else (outputs, labels, weights)


def collapse_rows(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows for the measure of collapse: of maps a sample of valid pixels, as it compares every row with every other."""
    if not is_dense(labels):
        return predictions, labels
    patches = sample_patches(valid_pixels(labels), samples=COLLAPSE_PIXELS)
    first, second = (patches.mean(maps)[patches.found] for maps in (predictions, labels))  # (m, k)
    return first, second


def at_label_size(predictions: Tensor, labels: Tensor) -> Tensor:
    """Maps of predictions enlarged, bilinear with corners aligned, to the size of the labels they are compared with."""
    if not is_dense(labels) or predictions.shape[2:] == labels.shape[2:]:
        return predictions
    return F.interpolate(predictions, size=labels.shape[2:], mode="bilinear", align_corners=True)


def kept_outputs(features: Tensor, predictions: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Rows for the result file: those of a test batch as they are, of maps at most ``KEPT_PIXELS`` pixels per image.

    Of maps they are spread evenly over the valid pixels of each image, a feature is the nearest one to its pixel, and
    there is also ``pixels``, shape (rows, 3): position of the image in the batch, row and column.
    """
    if not is_dense(labels):
        return {"features": features, "predictions": predictions, "labels": labels}
    chosen = []
    for image, valid in enumerate(valid_pixels(labels)):
        places = valid.nonzero()  # (valid pixels, 2)
        spread = torch.linspace(0, len(places) - 1, min(len(places), KEPT_PIXELS), device=labels.device)
        chosen.append(F.pad(places[spread.round().long()], (1, 0), value=image))
    pixels = torch.cat(chosen)  # (rows, 3)
    image, row, column = pixels.T
    scale = [mine / theirs for mine, theirs in zip(features.shape[2:], labels.shape[2:], strict=True)]
    near = (((row + 0.5) * scale[0]).long(), ((column + 0.5) * scale[1]).long())
    at_pixels = [maps[image, :, row, column] for maps in (predictions, labels)]  # (rows, k) each
    predicted, true = (one.squeeze(1) if one.shape[1] == 1 else one for one in at_pixels)
    return {
        "features": features[image, :, near[0], near[1]],
        "predictions": predicted,
        "labels": true,
        "pixels": pixels,
    }
