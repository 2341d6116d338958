"""Random views of any batch of numbers: rows of a table, embeddings, images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_number


class DropoutViews(nn.Module):
    """Set some entries of the inputs to zero, which is the mean of standardised columns, and scale up the others.

    Two passes through a network with dropout of its own are two views as well (Gao et al., "SimCSE", EMNLP 2021): for
    those, give the encoder a dropout and the module ``view_mode="two"`` without any transform.

    Args:
        rate: probability that an entry becomes zero, in [0, 1).

    Raises:
        ValueError: a rate outside [0, 1).
    """

    def __init__(self, *, rate: float = 0.1) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate: expected a probability in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """A view of floating-point inputs (n, ...), same shape."""
        _check_floating(inputs)
        return F.dropout(inputs, self.rate, training=True)


class MixViews(nn.Module):
    r"""Move each sample some way toward another one of the batch, whose label is alike or does not count.

    $$x_i' = x_i + \lambda_i (x_{j(i)} - x_i), \qquad \lambda_i \sim U(0, \mathrm{most})$$

    Source of the mixture: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; of partners with near
    labels: Yao et al., "C-Mixup: Improving Generalization in Regression", NeurIPS 2022.

    Differences from both: the label stays that of the sample itself, as ConR's views need it. So either the way is
    short, or ``window`` keeps partners to those whose label is alike, each as likely; no kernel draws them.

    Args:
        most: longest way, as a share of the distance, in (0, 1].
        window: partners have labels within it, in label units and in each label dimension; any other sample is a
            partner if None. A sample without a partner stays as it is.

    Raises:
        ValueError: ``most`` outside (0, 1] or a negative window.

    Notes:
        With a window the cost is O(n^2) for a batch of n samples, without making a GPU wait.
    """

    uses_labels = True

    def __init__(self, *, most: float = 0.2, window: float | None = None) -> None:
        super().__init__()
        if not 0 < most <= 1:
            raise ValueError(f"most: expected a share in (0, 1], got {most}")
        if window is not None:
            check_number("window", window, low=0)
        self.most = most
        self.window = window

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """A view of floating-point inputs (n, ...), same shape; labels (n,) or (n, k)."""
        _check_floating(inputs)
        n = len(inputs)
        if len(labels) != n:
            raise ValueError(f"labels: expected {n} samples like inputs, got {len(labels)}")
        if n < 2:
            return inputs
        own = torch.arange(n, device=inputs.device)
        if self.window is None:
            partners = (own + torch.randint(1, n, (n,), device=inputs.device)) % n  # (n,), never the own row
        else:
            columns = labels.reshape(n, -1)  # (n, k)
            near = ((columns.unsqueeze(0) - columns.unsqueeze(1)).abs() <= self.window).all(dim=2)  # (n, n)
            near = near & (own.unsqueeze(0) != own.unsqueeze(1))
            chance = torch.rand(n, n, device=inputs.device).masked_fill(~near, -1)  # (n, n)
            partners = torch.where(near.any(dim=1), chance.argmax(dim=1), own)
        # NOTE[DIFF]: mixup draws from Beta(alpha, alpha), and mixes the labels too.
        ways = self.most * torch.rand(n, device=inputs.device, dtype=torch.float32)  # (n,)
        ways = ways.to(inputs.dtype).view(n, *(1,) * (inputs.ndim - 1))
        return inputs + ways * (inputs[partners] - inputs)


def _check_floating(inputs: Tensor) -> None:
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs: expected a torch.Tensor, got {type(inputs).__name__}")
    if not inputs.is_floating_point():
        raise TypeError(f"inputs: expected a floating-point dtype, got {inputs.dtype}")
