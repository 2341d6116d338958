"""Dense labels (a depth per pixel): what turns them into one label per image."""

import torch
from torch import Tensor

from conr._checks import check_device


def image_means(values: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean of a dense map over each image, as the depth variant of ConR uses labels, predictions and weights.

    Args:
        values: shape (n, ...): labels, predictions or weights per pixel.
        mask: bool, shape of ``values``: the pixels that count; all if None.

    Returns:
        Shape (n,), float32 at least. An image without valid pixels gets 0.

    Raises:
        ValueError: ``values`` has no pixel dimension, or the mask has another shape, dtype or device.

    Example:
        >>> import torch
        >>> image_means(torch.tensor([[[1.0, 3.0], [5.0, 7.0]]]))
        tensor([4.])
    """
    if values.ndim < 2:
        raise ValueError(
            f"values: expected shape (n, ...) with at least one pixel dimension, got {tuple(values.shape)}"
        )
    pixels = values.flatten(1)  # (n, pixels)
    if not (pixels.is_floating_point() and pixels.element_size() >= 4):
        pixels = pixels.float()
    if mask is None:
        return pixels.mean(dim=1)
    if mask.shape != values.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"mask: expected torch.bool of shape {tuple(values.shape)}, got {mask.dtype} of shape {tuple(mask.shape)}"
        )
    check_device("mask", mask, values.device)
    inside = mask.flatten(1)  # (n, pixels)
    return pixels.where(inside, 0).sum(dim=1) / inside.sum(dim=1).clamp(min=1)
