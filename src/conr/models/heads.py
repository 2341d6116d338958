"""Heads: features to predictions."""

from torch import Tensor, nn

from conr._checks import check_number


class LinearHead(nn.Module):
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
        super().__init__()
        check_number("in_features", in_features, low=1)
        check_number("out_features", out_features, low=1)
        check_number("scale", scale, low=0, open_low=True)
        self.scale = scale
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features: Tensor) -> Tensor:
        """Predictions (n,) or (n, k) of features (n, d)."""
        if features.ndim != 2 or features.shape[1] != self.linear.in_features:
            raise ValueError(f"features: expected shape (n, {self.linear.in_features}), got {tuple(features.shape)}")
        predictions: Tensor = self.linear(features) * self.scale  # (n, k)
        return predictions.squeeze(1) if predictions.shape[1] == 1 else predictions
