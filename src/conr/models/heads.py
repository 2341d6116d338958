"""Heads: features to predictions."""

import math
from typing import Self

import torch
from torch import Tensor, nn

from conr._checks import check_number
from conr._tensor_checks import check_features
from conr.density import Bins
from conr.losses.evidential import evidential_parameters
from conr.losses.hca import hca_log_probabilities, hierarchy_counts, hierarchy_sizes, label_hierarchy
from conr.losses.uvote import uvote_vote
from conr.losses.vir import vir_parameters


class _Linear(nn.Module):
    """One linear layer: features (n, d) to outputs (n, *per_label), or (n, k, *per_label) for k label dimensions.

    Args:
        in_features: d.
        out_features: label dimensions.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, in_features: int, out_features: int, per_label: tuple[int, ...]) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        self.per_label = per_label
        self.linear = nn.Linear(in_features, out_features * math.prod(per_label))

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (n, ...), or (n, k, ...) for k label dimensions, of features (n, d)."""
        if features.ndim != 2 or features.shape[1] != self.linear.in_features:
            raise ValueError(f"features: expected shape (n, {self.linear.in_features}), got {tuple(features.shape)}")
        outputs = torch.unflatten(self.linear(features), 1, (-1, *self.per_label))  # (n, k, ...)
        return outputs.squeeze(1) if outputs.shape[1] == 1 else outputs


class LinearHead(_Linear):
    """One linear layer: features (n, d) to predictions (n,), or (n, k) for k label dimensions.

    Args:
        in_features: d.
        out_features: label dimensions.
        scale: factor of the layer's output: the unit in which it predicts, in label units, for recipes that divide the
            labels by a number.

    Raises:
        ValueError: a number of features below 1; a scale that is not positive.
    """

    def __init__(self, in_features: int, out_features: int = 1, *, scale: float = 1.0) -> None:
        super().__init__(in_features, out_features, ())
        check_number("scale", scale, low=0, open_low=True)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Predictions (n,) or (n, k) of features (n, d)."""
        return self.scale * super().forward(features)


class EvidentialHead(_Linear):
    """One linear layer with four outputs per label dimension, for `conr.losses.Evidential`.

    `point` turns its outputs into predictions, `conr.losses.evidential_parameters` into uncertainties.

    Example:
        >>> import torch
        >>> head = EvidentialHead(8)
        >>> outputs = head(torch.zeros(3, 8))
        >>> outputs.shape, head.point(outputs).shape
        (torch.Size([3, 4]), torch.Size([3]))
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__(in_features, out_features, (4,))

    def point(self, outputs: Tensor) -> Tensor:
        """The expected labels, shape (n,) or (n, k)."""
        return evidential_parameters(outputs).mean


class UVOTEHead(_Linear):
    """Several linear layers, each with a location and a log-scale per label dimension, for `conr.losses.UVOTE`.

    `point` turns its outputs into the predictions of the surest head, `conr.losses.uvote_vote` into deviations as well.

    Args:
        heads: how many, as many as the criterion's.

    Example:
        >>> import torch
        >>> head = UVOTEHead(8, heads=3)
        >>> outputs = head(torch.zeros(5, 8))
        >>> outputs.shape, head.point(outputs).shape
        (torch.Size([5, 3, 2]), torch.Size([5]))
    """

    def __init__(self, in_features: int, out_features: int = 1, *, heads: int = 2) -> None:
        check_number("heads", heads, low=1)
        super().__init__(in_features, out_features, (heads, 2))

    def point(self, outputs: Tensor) -> Tensor:
        """The predictions of the surest head, shape (n,) or (n, k)."""
        return uvote_vote(outputs).predictions


class VIRHead(_Linear):
    """One linear layer with three outputs per label dimension, for `conr.losses.VIR`.

    `point` turns its outputs into predictions, `conr.losses.vir_parameters` into uncertainties.
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__(in_features, out_features, (3,))

    def point(self, outputs: Tensor) -> Tensor:
        """The expected labels, shape (n,) or (n, k)."""
        return vir_parameters(outputs).mean


class HCAHead(nn.Module):
    """One linear layer with a logit per class on each level of a hierarchy of label bins, for `conr.losses.HCA`.

    `fit` makes the layer, as the classes follow from the training labels. `point` turns logits into predictions: the
    value of the bin with the highest adjusted probability (`conr.losses.hca_log_probabilities`). The value of a bin is
    the mean of its training labels; that of a bin without any lies as far into it as labels do on average.

    Args:
        in_features: d.
        levels: how often the range of labels is divided, as often as the criterion's.

    Raises:
        ValueError: a number below 1.

    Notes:
        A fresh head needs `fit` with the same labels before it loads a state_dict.

    Example:
        >>> import torch
        >>> labels = torch.tensor([3.0, 4.0, 4.0, 5.0, 6.0])
        >>> head = HCAHead(8, levels=2).fit(labels, Bins([3, 4, 5, 6, 7]))
        >>> outputs = head(torch.zeros(3, 8))
        >>> outputs.shape, head.point(outputs).shape
        (torch.Size([3, 10]), torch.Size([3]))
    """

    hierarchy: Tensor
    values: Tensor

    def __init__(self, in_features: int, *, levels: int = 6) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("levels", levels, low=1)
        self.in_features = in_features
        self.levels = levels
        self.sizes: list[int] = []
        self.linear: nn.Linear | None = None
        self.register_buffer("hierarchy", None, persistent=False)
        self.register_buffer("values", None, persistent=False)

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        """Divide the range of the training labels (n,) or (n, 1), and make the layer. Returns self.

        Raises:
            ValueError: no labels; a label that is NaN or outside the bins; several label dimensions.
        """
        counts = hierarchy_counts(labels, bins)  # (bins,)
        self.hierarchy = label_hierarchy(counts, levels=self.levels)  # (levels + 1, bins)
        self.sizes = hierarchy_sizes(self.hierarchy)
        flat, edges = labels.reshape(-1), bins.edges[0].to(labels.device)  # (n,), (bins + 1,)
        index = bins.index(flat)  # (n,)
        sums = edges.new_zeros(len(counts)).index_add(0, index, flat.double())  # (bins,)
        depth = ((flat - edges[index]) / edges.diff()[index]).mean()
        self.values = torch.where(counts > 0, sums / counts.clamp(min=1), edges[:-1] + depth * edges.diff()).float()
        self.linear = nn.Linear(self.in_features, sum(self.sizes), device=labels.device)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, classes of all levels) of features (n, d)."""
        check_features(features)
        if features.shape[1] != self.in_features:
            raise ValueError(f"features: expected shape (n, {self.in_features}), got {tuple(features.shape)}")
        return self._fitted()(features)  # type: ignore[no-any-return]

    def point(self, outputs: Tensor) -> Tensor:
        """The value of the most probable bin, shape (n,); without gradient. NaN where an output is NaN."""
        self._fitted()
        likely = hca_log_probabilities(outputs.detach(), self.hierarchy, sizes=self.sizes).argmax(dim=1)  # (n,)
        broken = outputs.detach().isnan().any(dim=1)  # (n,)
        return torch.where(broken, torch.nan, self.values[likely])

    def _fitted(self) -> nn.Linear:
        if self.linear is None:
            raise RuntimeError("this HCAHead has not seen training labels: call fit(labels, bins) first")
        return self.linear

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return f"in_features={self.in_features}, levels={self.levels}"
