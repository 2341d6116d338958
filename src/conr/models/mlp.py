"""A plain multi-layer perceptron for tables and embeddings."""

import warnings
from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from conr._checks import check_number


class MLP(nn.Module):
    """Linear layers with ReLU (and dropout) after each.

    Args:
        in_features: columns of the input; None takes those of the first batch, or of the dataset in training.
        hidden: width of each layer; the last one is the number of features.
        dropout: probability of dropping a unit, in [0, 1).

    Attributes:
        in_features: columns of the input; 0 while they are not known.
        out_features: width of the last layer.

    Raises:
        ValueError: no layer, a width below 1, or a dropout outside [0, 1).
    """

    def __init__(
        self, in_features: int | None = None, *, hidden: Sequence[int] = (128, 128), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if in_features is not None:
            check_number("in_features", in_features, low=1)
        if not hidden:
            raise ValueError("hidden: expected at least one layer, got none")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {dropout}")
        layers: list[nn.Module] = []
        width = in_features
        for units in hidden:
            check_number("hidden", units, low=1)
            layers += [_linear(width, units), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = units
        self.layers = nn.Sequential(*layers)
        self.out_features: int = units

    @property
    def in_features(self) -> int:
        """Columns of the input; 0 while they are not known."""
        return cast("nn.Linear", self.layers[0]).in_features

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, out_features) of inputs (n, in_features)."""
        if inputs.ndim != 2 or inputs.shape[1] == 0 or self.in_features not in (0, inputs.shape[1]):
            expected = self.in_features or "columns"
            raise ValueError(f"inputs: expected shape (n, {expected}), got {tuple(inputs.shape)}")
        features: Tensor = self.layers(inputs)
        return features


def _linear(in_features: int | None, out_features: int) -> nn.Linear:
    if in_features is not None:
        return nn.Linear(in_features, out_features)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Lazy modules are a new feature")  # as torch 2.6 says
        return nn.LazyLinear(out_features)
