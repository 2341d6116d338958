"""Random views of pairs: both members swapped, their entries corrupted, or mixed with those of other pairs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number
from conr.data.module import Inputs
from conr.data.views import TableViews
from conr.data.views_table import DropoutViews


class SwapPairs(nn.Module):
    """Exchange the two members of some pairs, which keeps a similarity as it is.

    Args:
        probability: of each pair to be swapped.

    Raises:
        ValueError: a probability outside [0, 1].

    Notes:
        An encoder that looks at $|u - v|$ and $u v$ alone gives a pair and the swapped pair the same features: there
        this view changes nothing. `conr.models.PairEncoder` has ``sentences=True`` for that.
    """

    def __init__(self, *, probability: float = 0.5) -> None:
        super().__init__()
        _check_probability("probability", probability)
        self.probability = probability

    def forward(self, pairs: Inputs) -> Inputs:
        """A view of pairs (n, 2, ...), or of several such inputs by name."""
        parts = {"": pairs} if isinstance(pairs, Tensor) else pairs
        first = next(iter(parts.values()))
        swapped = torch.rand(len(first), device=first.device) < self.probability  # (n,)
        views = {}
        for name, part in parts.items():
            _check_pairs(part)
            views[name] = torch.where(swapped.view(-1, *[1] * (part.ndim - 1)), part.flip(1), part)
        return views[""] if isinstance(pairs, Tensor) else views


class CorruptPairs(nn.Module):
    """`TableViews` on the numbers of each pair: some entries come from other pairs (SCARF), with noise on top.

    Args:
        corruption: probability that an entry is replaced by that of another pair of the batch.
        noise: standard deviation of Gaussian noise, in units of the inputs.

    Raises:
        ValueError: a corruption outside [0, 1] or a negative noise.
    """

    def __init__(self, *, corruption: float = 0.1, noise: float = 0.0) -> None:
        super().__init__()
        self.rows = TableViews(corruption=corruption, noise=noise)

    def forward(self, pairs: Tensor) -> Tensor:
        """A view of floating-point pairs (n, 2, ...), same shape."""
        _check_pairs(pairs)
        view: Tensor = self.rows(pairs.flatten(1)).view(pairs.shape)
        return view


class MixPairs(nn.Module):
    r"""Move each pair a little towards another pair of the batch: $x_i + \lambda_i (x_j - x_i)$; labels stay.

    Symbols: $\lambda_i$ uniform in [0, strength], $j \neq i$ each as likely.

    Args:
        strength: largest share of the other pair; small, as the label keeps that of pair i.

    Raises:
        ValueError: a strength outside [0, 1].

    Notes:
        Mixup (Zhang et al., ICLR 2018) without mixing the labels, as pairs for ConR need labels of the training set. A
        batch of one pair stays as it is.
    """

    def __init__(self, *, strength: float = 0.2) -> None:
        super().__init__()
        _check_probability("strength", strength)
        self.strength = strength

    def forward(self, pairs: Tensor) -> Tensor:
        """A view of floating-point pairs (n, 2, ...), same shape."""
        _check_pairs(pairs)
        n = len(pairs)
        if n < 2:
            return pairs
        others = (torch.arange(n, device=pairs.device) + torch.randint(1, n, (n,), device=pairs.device)) % n  # (n,)
        shares = self.strength * torch.rand(n, *[1] * (pairs.ndim - 1), dtype=pairs.dtype, device=pairs.device)
        return torch.lerp(pairs, pairs[others], shares)


STEPS = {"swap": SwapPairs, "corrupt": CorruptPairs, "mix": MixPairs, "dropout": DropoutViews}


class PairViews(nn.Module):
    """Several views of pairs, one on top of the other.

    Args:
        steps: in this order, each ``"swap"`` (`SwapPairs`), ``"corrupt"`` (`CorruptPairs`), ``"mix"`` (`MixPairs`) or
            ``"dropout"`` (`DropoutViews`) with its defaults, or a module.

    Raises:
        ValueError: an unknown name.

    Notes:
        Dropout in the network is a view without any step: give ``views: null`` with ``view_mode: two`` and an encoder
        with dropout, which then sees each pair twice and drops different units each time.
    """

    def __init__(self, steps: Sequence[str | nn.Module] = ("swap", "corrupt")) -> None:
        super().__init__()
        for step in steps:
            if isinstance(step, str):
                check_choice("steps", step, STEPS)
        self.steps = nn.ModuleList(STEPS[step]() if isinstance(step, str) else step for step in steps)

    def forward(self, pairs: Inputs) -> Inputs:
        """A view of pairs (n, 2, ...)."""
        for step in self.steps:
            pairs = step(pairs)
        return pairs


def _check_probability(name: str, value: float) -> None:
    check_number(name, value, low=0)
    if value > 1:
        raise ValueError(f"{name}: expected a number in [0, 1], got {value}")


def _check_pairs(pairs: Tensor) -> None:
    if not isinstance(pairs, Tensor):
        raise TypeError(f"pairs: expected a torch.Tensor, got {type(pairs).__name__} (words can only be swapped)")
    if pairs.ndim < 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs: expected shape (n, 2, ...), got {tuple(pairs.shape)}")
