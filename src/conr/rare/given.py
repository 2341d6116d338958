"""Predictions from elsewhere in place of a model."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from conr.rare.labels import Floats


class GivenPredictions(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Rows as predictions: stands for a model that is not an estimator, such as a network.

    Put it into `Rebalanced` or `RareIntervals` with ``cv="prefit"``, and give them predictions where they ask for rows.

    Example:
        >>> import numpy as np
        >>> from conr.rare import RareIntervals
        >>> labels = np.random.default_rng(0).gamma(1.0, 10.0, 200)
        >>> predictions = labels / 2
        >>> bounded = RareIntervals(GivenPredictions(), cv="prefit").fit(predictions, labels)
        >>> bounded.predict_interval(np.array([3.0, 9.0])).shape
        (2, 2)
    """

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803
        """Learn nothing.

        Args:
            X: not looked at.
            y: not looked at.

        Returns:
            self.
        """
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """The rows as they are, shape (n,) or (n, k).

        Args:
            X: predictions, shape (n,), (n, 1) or (n, k).
        """
        predictions = np.asarray(X, dtype=np.float64)
        return predictions[:, 0] if predictions.ndim == 2 and predictions.shape[1] == 1 else predictions

    def __sklearn_is_fitted__(self) -> bool:
        return True
