r"""ConR for dense labels: contrast whole images, or pixels and patches within and across images."""

import torch
from torch import Tensor

from conr._auto import Auto, given
from conr._checks import check_choice
from conr._tensor_checks import check_device
from conr.losses._common import LossModule, check_settings
from conr.losses.conr import conr_loss
from conr.losses.dense_labels import check_like_labels, check_map, image_means, sample_patches, valid_pixels
from conr.pairwise import Push, Rule

REDUCE = ("image", "pixel")

# Label and prediction of a row without valid pixels: further from all others than any window, and still a number.
_FAR = 1e15


def dense_conr_loss(
    features: Tensor,
    labels: Tensor,
    predictions: Tensor,
    *,
    window: float,
    temperature: float = 0.2,
    distance_scale: float = 0.2,
    push: Push = "linear",
    weights: Tensor | None = None,
    weight_anchors: bool = True,
    reduce: str = "image",
    samples: int = 2048,
    patch: int = 1,
    reference: bool = False,
) -> Tensor:
    r"""ConR on maps: `conr_loss` on one row per image, or on one row per sampled pixel or patch.

    $$L = L_{\text{ConR}}(Z, Y, \hat Y, W)$$

    ``reduce="image"``: row i is image i; $Y_i$, $\hat Y_i$, $W_i$ are means over its valid pixels, $Z_i$ is its feature
    map, flattened. ``reduce="pixel"``: row i is a pixel, or a patch of ``patch`` x ``patch`` pixels; all four are means
    over the valid pixels in it.

    Symbols: $Z$ features, $Y$ labels, $\hat Y$ predictions, $W$ weights of the rows; $L_{\text{ConR}}$ as in
    `conr_loss`. Source: the image form is the released code's for NYUD2 ("ConR", ICLR 2024); the pixel form is this
    project's: the mean depth of an image says little of what is rare in it, while near and far regions of one image,
    which a regressor confuses, can repel each other only if both are rows.

    Differences from the released code:

    - Images are masked: a pixel without a label counts in no mean; the released code has the label 0 there.
    - Those of `conr_loss`; with ``reference=True`` the image form gives the released numbers.

    Args:
        features: shape (n, d, h, w): the feature map before the last layer, not normalised.
        labels: shape (n, k, h', w'), in label units; NaN where there is none. Height and width are those of features,
            except in the image form, where they do not matter.
        predictions: shape of labels. Detached.
        window: largest distance of labels (of predictions) that count as similar, in label units; positive. Euclidean
            for k > 1.
        temperature: positive.
        distance_scale: how much more strongly far labels repel, in 1 / label units.
        push: as for `conr_loss`.
        weights: positive rarity of each pixel's label, shape (n, h', w'); 1 if None.
        weight_anchors: whether an anchor's term is also multiplied by its weight (released code for depth: no).
        reduce: ``"image"`` or ``"pixel"``.
        samples: pixel form: rows of the batch, drawn from all patches of all n maps without repetition.
        patch: pixel form: side of a patch in pixels; 1 for single pixels.
        reference: image form: reproduce the released code; see `conr_loss`.

    Returns:
        A scalar, the mean over all rows with a valid pixel; 0 with a graph if there is no anchor.

    Raises:
        ValueError: shapes or devices that do not fit; an unknown reduce; ``reference`` with the pixel form; a number
            out of its range.
        TypeError: maps that are no floating-point tensors.

    Notes:
        Time and memory of `conr_loss` for m rows, by the engine that it chooses. The image form reads whole maps (d h w
        numbers per row); the pixel form gathers its m rows and no more. The global random state of torch draws the
        samples, on the device of the maps. No value is read on the way: a GPU does not wait.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> features = torch.rand(2, 3, 4, 4)
        >>> labels = torch.tensor([1.0, 1.1, 5.0, 5.1]).expand(2, 1, 4, 4)
        >>> dense_conr_loss(features, labels, torch.full_like(labels, 3), window=0.2, reduce="pixel", samples=32)
        tensor(3.5284)
    """
    _check_rows(reduce, samples, patch, reference=reference)
    check_map("features", features)
    check_like_labels(predictions, labels, weights)
    check_device("labels", labels, features.device)
    if len(features) != len(labels):
        raise ValueError(f"labels: expected {len(features)} images like features, got {len(labels)}")
    valid = valid_pixels(labels)  # (n, h, w)
    if reduce == "image":
        found = valid.flatten(1).any(dim=1)  # (m,), one row per image
        rows = features.flatten(1)  # (m, d h w)
        row_labels, row_predictions = _image_rows(labels, valid), _image_rows(predictions, valid)  # (m, k), (m, k)
        row_weights = None if weights is None else image_means(weights, valid)  # (m,)
    else:
        if features.shape[2:] != labels.shape[2:]:
            expected, got = tuple(labels.shape[2:]), tuple(features.shape[2:])
            raise ValueError(f"features: expected maps of {expected} like labels, got {got}")
        patches = sample_patches(valid, samples=samples, patch=patch)
        found = patches.found  # (m,)
        rows, row_labels, row_predictions = (patches.mean(maps) for maps in (features, labels, predictions))
        row_weights = None if weights is None else patches.mean(weights.unsqueeze(1)).squeeze(1)  # (m,)
    total = conr_loss(
        rows,
        _far_unless(found, row_labels),
        _far_unless(found, row_predictions),
        window=window,
        temperature=temperature,
        distance_scale=distance_scale,
        push=push,
        weights=None if row_weights is None else row_weights.where(found, 1),
        weight_anchors=weight_anchors,
        reduction="sum",
        reference=reference,
    )
    return total / found.sum().clamp(min=1)


def _check_rows(reduce: str, samples: int, patch: int, *, reference: bool) -> None:
    check_choice("reduce", reduce, REDUCE)
    check_settings(samples=samples, patch=patch)
    if reference and reduce != "image":
        raise ValueError(f"reference: expected reduce 'image', the released form, got {reduce!r}")


def _image_rows(values: Tensor, valid: Tensor) -> Tensor:
    n, k = values.shape[:2]
    inside = valid.unsqueeze(1).expand_as(values)  # (n, k, h, w)
    return image_means(values.flatten(0, 1), inside.flatten(0, 1)).view(n, k)


def _far_unless(found: Tensor, rows: Tensor) -> Tensor:
    """Rows (m, k) in which those that were not found lie far from all others and from each other."""
    rows = rows.detach().to(torch.promote_types(rows.dtype, torch.float32))
    far = _FAR * torch.arange(1, len(rows) + 1, dtype=rows.dtype, device=rows.device).unsqueeze(1)  # (m, 1)
    return rows.where(found.unsqueeze(1), far)


class DenseConR(LossModule):
    """ConR for dense labels as a module; `dense_conr_loss` has the two forms and all arguments.

    Numbers may be "auto" as those of `conr.ConRLoss`.
    """

    function = staticmethod(dense_conr_loss)

    def __init__(
        self,
        *,
        window: float | Auto,
        temperature: float | Auto = 0.2,
        distance_scale: float | Auto = 0.2,
        push: Push = "linear",
        weight_anchors: bool = True,
        reduce: str = "image",
        samples: int = 2048,
        patch: int = 1,
        reference: bool = False,
    ) -> None:
        Rule(given(window), "l2", given(distance_scale), push, given(temperature), exact=reference).check()
        _check_rows(reduce, samples, patch, reference=reference)
        super().__init__(
            window=window,
            temperature=temperature,
            distance_scale=distance_scale,
            push=push,
            weight_anchors=weight_anchors,
            reduce=reduce,
            samples=samples,
            patch=patch,
            reference=reference,
        )

    def forward(self, features: Tensor, labels: Tensor, predictions: Tensor, weights: Tensor | None = None) -> Tensor:
        """Loss of a batch of maps: features (n, d, h, w), labels and predictions (n, k, h, w), weights (n, h, w)."""
        return dense_conr_loss(features, labels, predictions, weights=weights, **self.settings())
