"""Dense labels (a depth per pixel): maps (n, k, h, w) in which NaN marks a pixel without a label.

They become one label per image, rows for a criterion, or rows of sampled patches. No function makes a GPU wait: shapes
never depend on how many pixels are valid.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from conr._checks import check_whole
from conr._tensor_checks import check_device


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


def valid_pixels(labels: Tensor) -> Tensor:
    """Mask (n, h, w) of the pixels of dense labels (n, k, h, w) that have a label: none of their k numbers is NaN.

    Raises:
        ValueError: another rank.
        TypeError: labels that are no floating-point tensor.
    """
    check_map("labels", labels)
    return ~labels.isnan().any(dim=1)


def pixel_rows(values: Tensor) -> Tensor:
    """A map (n, k, h, w) as one row per pixel: shape (n h w, k), or (n h w,) if k is 1.

    Raises:
        ValueError: another rank.
        TypeError: no floating-point tensor.
    """
    check_map("values", values)
    rows = values.movedim(1, -1).flatten(0, 2)  # (n h w, k)
    return rows.squeeze(1) if rows.shape[1] == 1 else rows


def masked_rows(predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    r"""Rows for a criterion, weighted so that its mean over all rows is the mean over the valid pixels.

    $$\frac{1}{M} \sum_i \frac{M m_i}{\sum_j m_j} w_i \ell_i = \frac{1}{\sum_j m_j} \sum_{i : m_i = 1} w_i \ell_i$$

    Symbols: $M$ pixels, $m_i$ 1 for a valid pixel and 0 for others, $w$ weights, $\ell$ loss of a pixel.

    Args:
        predictions: shape (n, c, h, w): c is k, or the numbers per pixel that the criterion expects.
        labels: shape (n, k, h, w); NaN where there is none.
        weights: shape (n, h, w); 1 if None.

    Returns:
        Predictions (n h w, c) and labels (n h w, k), or (n h w,) for a single one, with 0 for both in a pixel without a
        label, and weights $w_i M m_i / \sum_j m_j$, shape (n h w,).

    Raises:
        ValueError: shapes or devices differ.
        TypeError: no floating-point tensors.

    Notes:
        Right for every criterion that is a weighted mean over rows: L1, MSE, Huber and their like. One that compares
        the rows of a batch with each other sees the zeros of the other pixels too.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[[[2.0, torch.nan]]]])
        >>> masked_rows(torch.tensor([[[[3.0, 5.0]]]]), labels)
        (tensor([3., 0.]), tensor([2., 0.]), tensor([2., 0.]))
    """
    check_maps(predictions, labels, weights)
    valid = valid_pixels(labels)  # (n, h, w)
    inside = valid.unsqueeze(1)  # (n, 1, h, w)
    dtype = torch.promote_types(labels.dtype, torch.float32)
    share = valid.to(dtype) * (valid.numel() / valid.sum(dtype=dtype).clamp(min=1))  # (n, h, w)
    scaled = share if weights is None else weights.where(valid, 0) * share  # (n, h, w)
    return pixel_rows(predictions.where(inside, 0)), pixel_rows(labels.where(inside, 0)), scaled.flatten()


class Patches(NamedTuple):
    """Square patches of a batch of maps; m of them, each of at most ``patch`` x ``patch`` valid pixels."""

    images: Tensor  # (m, 1)
    rows: Tensor  # (m, pixels)
    columns: Tensor  # (m, pixels)
    inside: Tensor  # (m, pixels) bool: pixels that count

    @property
    def found(self) -> Tensor:
        """Patches with a valid pixel, shape (m,): fewer than m if the batch does not have that many."""
        return self.inside.any(dim=1)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a map (n, d, h, w) over the valid pixels of each patch, shape (m, d); 0 where there is none."""
        pixels = values[self.images, :, self.rows, self.columns]  # (m, pixels, d)
        count = self.inside.sum(dim=1, keepdim=True).clamp(min=1)  # (m, 1)
        return pixels.where(self.inside.unsqueeze(2), 0).sum(dim=1) / count


def sample_patches(valid: Tensor, *, samples: int, patch: int = 1) -> Patches:
    """Draw patches of a batch of maps, each patch with a valid pixel as likely as any other, none twice.

    Each map is cut into patches from its upper left corner; rows and columns that remain at the other borders are in
    none. The global random state of torch decides.

    Args:
        valid: bool, shape (n, h, w): pixels that count.
        samples: patches over the whole batch; all of them if there are not so many.
        patch: side of a patch, in pixels.

    Returns:
        min(samples, patches of the batch) patches. If fewer have a valid pixel, the rest of them has none.

    Raises:
        ValueError: another shape or dtype, a number below 1, or maps smaller than a patch.

    Example:
        >>> import torch
        >>> patches = sample_patches(torch.ones(1, 2, 4, dtype=torch.bool), samples=2, patch=2)
        >>> patches.mean(torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [3.0, 4.0, 0.0, 0.0]]]])).sort(0).values
        tensor([[0.0000],
                [2.5000]])
    """
    check_whole("samples", samples, low=1)
    check_whole("patch", patch, low=1)
    if valid.ndim != 3 or valid.dtype != torch.bool:
        raise ValueError(f"valid: expected torch.bool of shape (n, h, w), got {valid.dtype} of {tuple(valid.shape)}")
    n, height, width = valid.shape
    if height < patch or width < patch:
        raise ValueError(f"patch: expected at most the size of the maps, {height} x {width}, got {patch}")
    down, across = height // patch, width // patch
    cut = valid[:, : down * patch, : across * patch].reshape(n, down, patch, across, patch)
    keys = torch.rand((n, down, across), device=valid.device)
    keys = keys.where(cut.any(dim=4).any(dim=2), -1).flatten()  # (n down across,): patches without pixels come last
    chosen = keys.topk(min(samples, len(keys))).indices.unsqueeze(1)  # (m, 1)
    offsets = torch.arange(patch, device=valid.device)
    images = chosen // (down * across)  # (m, 1)
    rows = chosen // across % down * patch + offsets.repeat_interleave(patch)  # (m, patch * patch)
    columns = chosen % across * patch + offsets.repeat(patch)  # (m, patch * patch)
    return Patches(images, rows, columns, valid[images, rows, columns])


def check_map(name: str, values: Tensor) -> None:
    """Require a floating-point map (n, k, h, w)."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name}: expected a floating-point torch.Tensor, got {got}")
    if values.ndim != 4:
        raise ValueError(f"{name}: expected shape (n, k, h, w), got {tuple(values.shape)}")


def check_maps(predictions: Tensor, labels: Tensor, weights: Tensor | None) -> None:
    """Require predictions (n, c, h, w), labels (n, k, h, w) and weights (n, h, w) that fit, on one device."""
    check_map("labels", labels)
    check_map("predictions", predictions)
    n, _, height, width = labels.shape
    if len(predictions) != n or predictions.shape[2:] != labels.shape[2:]:
        expected, got = f"({n}, c, {height}, {width})", tuple(predictions.shape)
        raise ValueError(f"predictions: expected shape {expected} like labels, got {got}")
    check_device("predictions", predictions, labels.device)
    if weights is None:
        return
    if weights.shape != (n, height, width):
        raise ValueError(f"weights: expected shape {(n, height, width)}, got {tuple(weights.shape)}")
    check_device("weights", weights, labels.device)


def check_like_labels(predictions: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
    """Require what `check_maps` does, and as many numbers per pixel in predictions as in labels."""
    check_maps(predictions, labels, weights)
    if predictions.shape != labels.shape:
        expected, got = tuple(labels.shape), tuple(predictions.shape)
        raise ValueError(f"predictions: expected shape {expected} like labels, got {got}")
