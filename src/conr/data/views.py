"""Random views of a batch, made on its device, all samples at once: rows, embeddings, pairs."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_choice, check_number, check_share
from conr.data.dataset import Inputs
from conr.pairwise import near_pairs

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
        check_share("corruption", corruption)
        check_number("noise", noise, low=0)
        self.corruption = corruption
        self.noise = noise

    def forward(self, rows: Tensor) -> Tensor:
        """A view of floating-point rows (n, columns), same shape."""
        check_inputs("rows", rows, ("n", "columns"))
        n = len(rows)
        if self.corruption and n > 1:
            steps = torch.randint(1, n, rows.shape, device=rows.device)  # (n, columns): 1 to n - 1 rows further down
            donors = (torch.arange(n, device=rows.device).unsqueeze(1) + steps) % n  # (n, columns), never the own row
            replaced = torch.rand(rows.shape, device=rows.device) < self.corruption  # (n, columns)
            rows = torch.where(replaced, rows.gather(0, donors), rows)
        return rows + self.noise * torch.randn_like(rows) if self.noise else rows


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
        check_share("rate", rate, open_high=True)
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """A view of floating-point inputs (n, ...), same shape."""
        check_inputs("inputs", inputs)
        return F.dropout(inputs, self.rate, training=True)


class MixViews(nn.Module):
    r"""Move each sample some way toward another one of the batch, whose label is alike or does not count.

    $$x_i' = x_i + \lambda_i (x_{j(i)} - x_i), \qquad \lambda_i \sim U(0, \mathrm{most})$$

    Source of the mixture: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; of partners with near
    labels: Yao et al., "C-Mixup: Improving Generalization in Regression", NeurIPS 2022.

    Differences from both: the label stays that of the sample itself, as ConR's views need it. So either the way is
    short, or ``window`` keeps partners to those whose label is alike, each as likely; no kernel draws them.

    Args:
        most: longest way, as a share of the distance, in [0, 1].
        window: partners have labels within it, in label units and in each label dimension; any other sample is a
            partner if None. A sample without a partner stays as it is.

    Raises:
        ValueError: ``most`` outside [0, 1] or a negative window.

    Notes:
        With a window the cost is O(n^2) for a batch of n samples, without making a GPU wait.
    """

    uses_labels = True

    def __init__(self, *, most: float = 0.2, window: float | None = None) -> None:
        super().__init__()
        check_share("most", most)
        if window is not None:
            check_number("window", window, low=0)
        self.most = most
        self.window = window

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """A view of floating-point inputs (n, ...), same shape; labels (n,) or (n, k), which a window needs."""
        check_inputs("inputs", inputs)
        n = len(inputs)
        if labels is not None and len(labels) != n:
            raise ValueError(f"labels: expected {n} samples like inputs, got {len(labels)}")
        if n < 2:
            return inputs
        own = torch.arange(n, device=inputs.device)
        if self.window is None:
            partners = (own + torch.randint(1, n, (n,), device=inputs.device)) % n  # (n,), never the own row
        elif labels is None:
            raise ValueError("labels: expected labels, as there is a window, got none")
        else:
            near, _ = near_pairs(labels.reshape(n, -1), window=self.window, distance="linf")  # (n, n)
            chance = torch.rand(n, n, device=inputs.device).masked_fill(~near, -1)  # (n, n)
            partners = torch.where(near.any(dim=1), chance.argmax(dim=1), own)
        # NOTE[DIFF]: mixup draws from Beta(alpha, alpha), and mixes the labels too.
        ways = self.most * torch.rand(n, device=inputs.device, dtype=torch.float32)  # (n,)
        ways = ways.to(inputs.dtype).view(n, *(1,) * (inputs.ndim - 1))
        return inputs + ways * (inputs[partners] - inputs)


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
        check_share("probability", probability)
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


class CorruptPairs(TableViews):
    """`TableViews` on the numbers of each pair: some entries come from other pairs (SCARF), with noise on top.

    Args:
        corruption: probability that an entry is replaced by that of another pair of the batch.
        noise: standard deviation of Gaussian noise, in units of the inputs.

    Raises:
        ValueError: a corruption outside [0, 1] or a negative noise.
    """

    def forward(self, pairs: Tensor) -> Tensor:
        """A view of floating-point pairs (n, 2, ...), same shape."""
        _check_pairs(pairs)
        return super().forward(pairs.flatten(1)).view(pairs.shape)


class MixPairs(MixViews):
    """`MixViews` of pairs: each moves some way towards any other pair of the batch, and keeps its label.

    Args:
        strength: longest way, as a share of the distance, in [0, 1]; small, as the label stays.

    Raises:
        ValueError: a strength outside [0, 1].
    """

    uses_labels = False

    def __init__(self, *, strength: float = 0.2) -> None:
        check_share("strength", strength)
        super().__init__(most=strength)

    def forward(self, pairs: Tensor, labels: Tensor | None = None) -> Tensor:
        """A view of floating-point pairs (n, 2, ...), same shape; labels are not needed."""
        _check_pairs(pairs)
        return super().forward(pairs, labels)


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


def check_inputs(name: str, inputs: Tensor, shape: tuple[str, ...] | None = None) -> None:
    """Require a floating-point tensor, of as many dimensions as ``shape`` names."""
    if not isinstance(inputs, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(inputs).__name__}")
    if shape is not None and inputs.ndim != len(shape):
        raise ValueError(f"{name}: expected shape ({', '.join(shape)}), got {tuple(inputs.shape)}")
    if not inputs.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point dtype, got {inputs.dtype}")


def _check_pairs(pairs: Tensor) -> None:
    if not isinstance(pairs, Tensor):
        raise TypeError(f"pairs: expected a torch.Tensor, got {type(pairs).__name__} (words can only be swapped)")
    if pairs.ndim < 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs: expected shape (n, 2, ...), got {tuple(pairs.shape)}")
