"""`Reweighted`: any regressor, with rows weighted by the rarity of their label."""

import copy
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_consistent_length

from conr._checks import check_choice
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity, SampleWeights
from conr.rare.labels import checked_labels, chosen_bins, drawn_seed
from conr.rare.wrapped import Wrapped, checked_weights, fit_weighted

SCHEMES = ("none", "inverse", "sqrt_inverse")


class Reweighted(Wrapped):
    r"""Fit any regressor with rows weighted by the rarity of their label.

    $$\min_f \sum_i w_i\, \ell(f(x_i), y_i), \qquad w_i \propto 1 / N_{b(i)}^{p}$$

    Symbols: $N$ training rows per label bin, $b(i)$ bin of row i, $\ell$ the loss of the regressor. With $p = 1$
    (``"inverse"``) the sum is an estimate of the expected loss if labels were uniform over their bins; with
    $p = 1/2$ (``"sqrt_inverse"``, the default) bins with single rows do not dominate. Source: Yang et al., "Delving
    into Deep Imbalanced Regression", ICML 2021 (INV and SQINV), here for models of any kind.

    The weights reach the last step of a Pipeline, and the model inside TransformedTargetRegressor, GridSearchCV and
    the like, with and without metadata routing. If that model's `fit` takes no ``sample_weight``, the same number of
    rows is drawn with these weights (systematic sampling), and the model is fitted on them.

    Args:
        estimator: regressor or pipeline; a clone of it is fitted.
        scheme: ``"sqrt_inverse"``, ``"inverse"``, ``"none"``, or an object with other weights, such as
            ``LabelDensity(scheme="power", power=0.75)``, with a kernel (LDS) or `conr.density.DenseWeight`.
        bins: of the labels; those of `conr.density.label_bins` if None.
        random_state: seed, generator or None, of the draw of rows.

    Attributes:
        estimator_: the fitted regressor.
        density_: fitted weights, a copy of ``scheme`` if that is an object.

    Raises:
        ValueError: from `fit`, an unknown scheme, labels or weights that are not finite, or what the regressor raises.

    Notes:
        When it fails: the common labels pay; `conr.rare.Rebalanced` shows how much. Labels of several targets are
        counted in the cells of their grid, most of which hold few rows.

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import LinearRegression
        >>> x = np.arange(10.0)[:, None]
        >>> y = np.where(x[:, 0] < 8, 0.0, 9.0)
        >>> model = Reweighted(LinearRegression(), "inverse").fit(x, y)
        >>> float(model.predict(x).mean().round(2)), float(y.mean())
        (2.62, 1.8)
    """

    def __init__(
        self,
        estimator: Any,
        scheme: str | SampleWeights = "sqrt_inverse",
        *,
        bins: Bins | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator, bins=bins, random_state=random_state)
        self.scheme = scheme

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:  # noqa: N803
        """Fit the regressor.

        Args:
            X: as the regressor takes it.
            y: labels, shape (n,) or (n, k).
            sample_weight: shape (n,), none negative: factors of the weights. Rows of weight 0 are not counted.
            **params: further arguments of the regressor's `fit`.

        Returns:
            self.

        Raises:
            ValueError: see the class.
        """
        labels = checked_labels(y)
        check_consistent_length(X, labels)
        own = checked_weights(sample_weight, len(labels))
        if isinstance(self.scheme, str):
            check_choice("scheme", self.scheme, SCHEMES)
            self.density_: SampleWeights = LabelDensity(scheme=self.scheme)
        else:
            self.density_ = copy.deepcopy(self.scheme)
        counted = labels[own > 0]
        given = getattr(self.density_, "bins", None)
        self.density_.fit(torch.from_numpy(counted), chosen_bins(counted, self.bins) if given is None else None)
        weights = own * self.density_.weights(torch.from_numpy(labels)).double().numpy()
        equal = isinstance(self.scheme, str) and self.scheme == "none" and sample_weight is None
        self.estimator_ = fit_weighted(
            clone(self.estimator),
            X,
            y,
            None if equal else np.asarray(weights),  # without weights some models fit faster
            self._routed(params),
            seed=drawn_seed(self.random_state),
        )
        return self
