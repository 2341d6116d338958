"""Random views of a batch, made on its device, all samples at once."""

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_choice, check_number
from conr.data.module import Inputs

VIEW_MODES = ("two", "original+two", "three", "one")


class Views(NamedTuple):
    """The stacked views of a batch, and which of their rows each term of the loss looks at."""

    inputs: Any  # like the batch's: (m, ...), or several such by name
    labels: Tensor  # (m,), (m, k) or (m, k, h, w)
    criterion_rows: slice
    regularizer_rows: slice


def make_views(inputs: Inputs, labels: Tensor, transform: nn.Module | None, mode: str) -> Views:
    """Stack the views of a batch of n samples.

    Args:
        inputs: shape (n, ...), or several such by name, of which views are made together.
        labels: shape (n,) or (n, k), repeated for each view; or dense labels (n, k, h, w).
        transform: makes one random view of a batch of inputs; None leaves them as they are. It is called with inputs,
            and with labels after them if it has a true attribute ``uses_labels``; with ``changes_labels`` it is too,
            and returns inputs and labels, as dense labels must turn with their image.
        mode: "two": two random views, both terms on all 2n rows; "original+two": the inputs and two random views, the
            criterion on the first n rows, the regularizers on the last 2n; "three": three random views, terms as in
            "original+two" (as ConR's authors trained on ages); "one": one random view, both terms on its n rows.

    Raises:
        ValueError: an unknown mode; not as many labels as inputs.
    """
    check_choice("mode", mode, VIEW_MODES)
    n = len(inputs if isinstance(inputs, Tensor) else next(iter(inputs.values())))
    if len(labels) != n:
        raise ValueError(f"labels: expected {n} samples like inputs, got {len(labels)}")

    def view() -> tuple[Inputs, Tensor]:
        if transform is None:
            return inputs, labels
        if getattr(transform, "changes_labels", False):
            changed: tuple[Inputs, Tensor] = transform(inputs, labels)
            return changed
        uses_labels = getattr(transform, "uses_labels", False)
        return transform(inputs, labels) if uses_labels else transform(inputs), labels

    first = (inputs, labels) if mode == "original+two" else view()
    others = [view() for _ in range({"one": 0, "two": 1}.get(mode, 2))]
    if not others:
        return Views(*first, slice(None), slice(None))
    stacked = _joined(first[0], *(one for one, _ in others))
    repeated = torch.cat((first[1], *(one for _, one in others)))
    if mode == "two":
        return Views(stacked, repeated, slice(None), slice(None))
    return Views(stacked, repeated, slice(0, n), slice(n, None))


def _joined(*parts: Inputs) -> Inputs:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(cast("tuple[Tensor, ...]", parts))
    return {name: torch.cat([cast("dict[str, Tensor]", part)[name] for part in parts]) for name in first}


class ImageViews(nn.Module):
    """Shift each image by some pixels and mirror it, differently for each, and add noise.

    With a fill this is a random crop of the padded image: ``shift=16, fill=-1.0, flip=0.5, noise=0.0`` is the
    augmentation of the age benchmarks on images normalised to [-1, 1], where black is -1.

    Args:
        shift: largest shift along each axis, in whole pixels.
        fill: value of the pixels that move in, in units of the (normalised) pixels; None repeats the border pixel.
        flip: probability that an image is mirrored, left to right.
        noise: standard deviation of Gaussian noise, in units of the (normalised) pixels.

    Raises:
        ValueError: a negative shift or noise, or a flip outside [0, 1].
    """

    def __init__(self, *, shift: int = 2, fill: float | None = None, flip: float = 0.0, noise: float = 0.1) -> None:
        super().__init__()
        check_number("shift", shift, low=0)
        if fill is not None:
            check_number("fill", fill)
        _check_probability("flip", flip)
        check_number("noise", noise, low=0)
        self.shift = shift
        self.fill = fill
        self.flip = flip
        self.noise = noise

    def forward(self, images: Tensor) -> Tensor:
        """A view of floating-point images (n, channels, height, width), same shape."""
        _check_inputs("images", images, ("n", "channels", "height", "width"))
        if self.shift or self.flip:
            images = self._moved(images)
        return images + self.noise * torch.randn_like(images) if self.noise else images.contiguous()

    def _moved(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        border = (self.shift,) * 4
        padded = (
            F.pad(images, border, mode="replicate") if self.fill is None else F.pad(images, border, value=self.fill)
        )  # (n, c, height + 2 shift, width + 2 shift)
        offsets = torch.randint(0, 2 * self.shift + 1, (2, n, 1), device=images.device)
        rows = offsets[0] + torch.arange(height, device=images.device)  # (n, height)
        columns = offsets[1] + torch.arange(width, device=images.device)  # (n, width)
        if self.flip:
            mirrored = torch.rand(n, 1, device=images.device) < self.flip  # (n, 1)
            columns = torch.where(mirrored, columns.flip(1), columns)
        sample = torch.arange(n, device=images.device).view(n, 1, 1)
        return padded[sample, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)  # (n, c, h, w)


class TableViews(nn.Module):
    """Replace some entries of each row by those of other rows (SCARF), and add noise.

    Source of the corruption: Bahri et al., "SCARF: Self-Supervised Contrastive Learning using Random Feature
    Corruption", ICLR 2022. It draws from a column's values in the training set, here they are those of the batch's
    other rows.

    Args:
        corruption: probability that an entry is replaced by the same column's entry of another row of the batch, each
            as likely. A batch of one row has no other and stays as it is.
        noise: standard deviation of Gaussian noise, in units of the (standardised) columns.

    Raises:
        ValueError: a corruption outside [0, 1] or a negative noise.
    """

    def __init__(self, *, corruption: float = 0.1, noise: float = 0.0) -> None:
        super().__init__()
        _check_probability("corruption", corruption)
        check_number("noise", noise, low=0)
        self.corruption = corruption
        self.noise = noise

    def forward(self, rows: Tensor) -> Tensor:
        """A view of floating-point rows (n, columns), same shape."""
        _check_inputs("rows", rows, ("n", "columns"))
        n = len(rows)
        if self.corruption and n > 1:
            steps = torch.randint(1, n, rows.shape, device=rows.device)  # (n, columns): 1 to n - 1 rows further down
            donors = (torch.arange(n, device=rows.device).unsqueeze(1) + steps) % n  # (n, columns), never the own row
            replaced = torch.rand(rows.shape, device=rows.device) < self.corruption  # (n, columns)
            rows = torch.where(replaced, rows.gather(0, donors), rows)
        return rows + self.noise * torch.randn_like(rows) if self.noise else rows


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a probability in [0, 1], got {value}")


def _check_inputs(name: str, inputs: Tensor, shape: tuple[str, ...]) -> None:
    if inputs.ndim != len(shape):
        raise ValueError(f"{name}: expected shape ({', '.join(shape)}), got {tuple(inputs.shape)}")
    if not inputs.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point dtype, got {inputs.dtype}")
