"""The head of hierarchical classification adjustment: classes in the place of a number."""

from typing import Self

import torch
from torch import Tensor, nn

from conr._checks import check_number
from conr._tensor_checks import check_features
from conr.density import Bins
from conr.losses.hca import hca_log_probabilities, hierarchy_counts, hierarchy_sizes, label_hierarchy


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
        self.values = _bin_values(labels.reshape(-1), counts, bins).float()  # (bins,)
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


def _bin_values(labels: Tensor, counts: Tensor, bins: Bins) -> Tensor:
    edges = bins.edges[0].to(labels.device)  # (bins + 1,)
    index = bins.index(labels)  # (n,)
    sums = edges.new_zeros(len(counts)).index_add(0, index, labels.double())  # (bins,)
    depth = ((labels - edges[index]) / edges.diff()[index]).mean()
    return torch.where(counts > 0, sums / counts.clamp(min=1), edges[:-1] + depth * edges.diff())
