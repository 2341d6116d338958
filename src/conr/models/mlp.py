"""A plain multi-layer perceptron for tables and embeddings."""

from collections.abc import Sequence

from torch import Tensor, nn

from conr._checks import check_number


class MLP(nn.Module):
    """Linear layers with ReLU (and dropout) after each.

    Args:
        in_features: columns of the input.
        hidden: width of each layer; the last one is the number of features.
        dropout: probability of dropping a unit, in [0, 1).

    Attributes:
        out_features: width of the last layer.

    Raises:
        ValueError: no layer, a width below 1, or a dropout outside [0, 1).
    """

    def __init__(self, in_features: int, *, hidden: Sequence[int] = (128, 128), dropout: float = 0.0) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        if not hidden:
            raise ValueError("hidden: expected at least one layer, got none")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {dropout}")
        layers: list[nn.Module] = []
        width = in_features
        for units in hidden:
            check_number("hidden", units, low=1)
            layers += [nn.Linear(width, units), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = units
        self.layers = nn.Sequential(*layers)
        self.in_features = in_features
        self.out_features = width

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, out_features) of inputs (n, in_features)."""
        if inputs.ndim != 2 or inputs.shape[1] != self.in_features:
            raise ValueError(f"inputs: expected shape (n, {self.in_features}), got {tuple(inputs.shape)}")
        features: Tensor = self.layers(inputs)
        return features
