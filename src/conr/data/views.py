"""Random views of a batch, made on its device, all samples at once."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_choice, check_number

VIEW_MODES = ("two", "original+two", "one")


class Views(NamedTuple):
    """The stacked views of a batch, and which of their rows each term of the loss looks at."""

    inputs: Tensor  # (m, ...)
    labels: Tensor  # (m,) or (m, k)
    criterion_rows: slice
    regularizer_rows: slice


def make_views(inputs: Tensor, labels: Tensor, transform: nn.Module | None, mode: str) -> Views:
    """Stack the views of a batch of n samples.

    Args:
        inputs: shape (n, ...).
        labels: shape (n,) or (n, k); repeated for each view.
        transform: makes one random view of a batch of inputs; None leaves them as they are.
        mode: "two": two random views, both terms on all 2n rows; "original+two": the inputs and two random views, the
            criterion on the first n rows, the regularizers on the last 2n (as ConR's authors trained); "one": one random
            view, both terms on its n rows.

    Raises:
        ValueError: an unknown mode.
    """
    check_choice("view_mode", mode, VIEW_MODES)

    def view() -> Tensor:
        return inputs if transform is None else transform(inputs)

    n = len(inputs)
    everything = slice(None)
    if mode == "one":
        return Views(view(), labels, everything, everything)
    if mode == "two":
        return Views(torch.cat((view(), view())), torch.cat((labels, labels)), everything, everything)
    stacked = torch.cat((inputs, view(), view()))
    return Views(stacked, torch.cat((labels, labels, labels)), slice(0, n), slice(n, None))


class ImageViews(nn.Module):
    """Shift each image by some pixels, differently for each, and add noise.

    Args:
        shift: largest shift along each axis, in pixels; what moves in repeats the border pixel.
        noise: standard deviation of Gaussian noise, in units of the (normalised) pixels.
    """

    def __init__(self, *, shift: int = 2, noise: float = 0.1) -> None:
        super().__init__()
        check_number("shift", shift, low=0)
        check_number("noise", noise, low=0)
        self.shift = shift
        self.noise = noise

    def forward(self, images: Tensor) -> Tensor:
        """A view of images (n, channels, height, width), same shape."""
        if images.ndim != 4:
            raise ValueError(f"images: expected shape (n, channels, height, width), got {tuple(images.shape)}")
        n, _, height, width = images.shape
        if self.shift:
            padded = F.pad(images, (self.shift,) * 4, mode="replicate")  # (n, c, height + 2 shift, width + 2 shift)
            offsets = torch.randint(0, 2 * self.shift + 1, (2, n, 1), device=images.device)
            rows = offsets[0] + torch.arange(height, device=images.device)  # (n, height)
            columns = offsets[1] + torch.arange(width, device=images.device)  # (n, width)
            sample = torch.arange(n, device=images.device).view(n, 1, 1)
            images = padded[sample, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)  # (n, c, h, w)
        return images + self.noise * torch.randn_like(images) if self.noise else images.contiguous()


class TableViews(nn.Module):
    """Replace some entries of each row by those of other rows (SCARF), and add noise.

    Source of the corruption: Bahri et al., "SCARF: Self-Supervised Contrastive Learning using Random Feature Corruption",
    ICLR 2022. Its marginal distribution of a column is here the column's values in the batch.

    Args:
        corruption: probability that an entry is replaced by the same column's entry of a random row of the batch.
        noise: standard deviation of Gaussian noise, in units of the (standardised) columns.
    """

    def __init__(self, *, corruption: float = 0.1, noise: float = 0.0) -> None:
        super().__init__()
        if not 0 <= corruption <= 1:
            raise ValueError(f"corruption: expected a probability in [0, 1], got {corruption}")
        check_number("noise", noise, low=0)
        self.corruption = corruption
        self.noise = noise

    def forward(self, rows: Tensor) -> Tensor:
        """A view of rows (n, columns), same shape."""
        if rows.ndim != 2:
            raise ValueError(f"rows: expected shape (n, columns), got {tuple(rows.shape)}")
        if self.corruption:
            donors = torch.randint(0, len(rows), rows.shape, device=rows.device)  # (n, columns)
            replaced = torch.rand(rows.shape, device=rows.device) < self.corruption  # (n, columns)
            rows = torch.where(replaced, rows.gather(0, donors), rows)
        return rows + self.noise * torch.randn_like(rows) if self.noise else rows
