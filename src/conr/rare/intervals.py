"""`RareIntervals`: prediction intervals whose coverage also holds for rare labels."""

from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from conr._checks import check_choice, check_whole
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.rare.conformal import LabelSets, joined_bins, rows_for
from conr.rare.folds import BinnedKFold
from conr.rare.labels import Floats, Positions, chosen_bins, drawn_seed, one_target, take
from conr.rare.rebalanced import PREFIT
from conr.rare.wrapped import Wrapped, params_of

SPLIT = "split"

_HELD_OUT = 4  # one of so many rows calibrates


class RareIntervals(Wrapped):
    r"""Intervals around the predictions of any regressor, with coverage in every group of labels.

    $$C(x) = \bigcup_g \{y \in g : |y - \hat y(x)| \le q_g\}, \qquad
      q_g = \text{the } \lceil (n_g + 1)\, c \rceil\text{-th smallest of } |y_i - \hat y(x_i)|,\ y_i \in g$$

    Symbols: $g$ groups of neighbouring label bins, $n_g$ calibration rows in one, $c$ coverage. A plain interval has
    one quantile for all rows, which the common labels determine; it covers 90 % on average, but perhaps half of the
    rare labels. Here, if calibration rows and a new row of group g are exchangeable,
    $P(y \in C(x) \mid y \in g) \ge c$, whatever the regressor: its error is one of $n_g + 1$ that are equally likely to
    be the largest. Source: Vovk, "Conditional validity of inductive conformal predictors", Machine Learning 2013, with
    groups of labels for classes.

    A finite quantile needs $n_g \ge \lceil 1 / (1 - c) \rceil - 1$ rows, so neighbouring bins are joined until each
    group has that many (9 for 90 %). The price is width: where the regressor is blind, a set holds all rare labels,
    however common the row.

    Args:
        estimator: regressor or pipeline; a clone of it is fitted.
        coverage: c, above 0 and below 1.
        cv: ``"split"`` calibrates on a quarter of the rows of each group, which the regressor does not see: the
            guarantee above. A number of folds calibrates on cross-fitted errors of all rows, and the regressor sees all
            of them: better predictions but no proof, although errors of models with fewer rows tend to be too large.
            ``"prefit"``: the estimator is already fitted; give `fit` rows that it was not trained on.
        bins: of the labels; those of `conr.density.label_bins` if None.
        many: for `evaluate`: a label's bin with more rows is many-shot.
        few: for `evaluate`: a label's bin with fewer rows is few-shot.
        random_state: seed, generator or None, of the draw.

    Attributes:
        estimator_: the fitted regressor.
        density_: `conr.LabelDensity` of the rows given to `fit`.
        groups_: `conr.density.Bins` of the groups.
        quantiles_: q of each group, shape (groups,).

    Raises:
        ValueError: from `fit`, an argument outside its range, several targets, labels that are not finite, or fewer
            rows than one group needs.

    Notes:
        When it fails: if new rows come from elsewhere (not exchangeable), and for a single bin of a group that holds
        several: coverage is that of the group. For one calibration it scatters about c, more so the fewer rows a group
        has (with nine rows by 0.09).

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import Ridge
        >>> random = np.random.default_rng(0)
        >>> y = random.gamma(1.0, 10.0, 400)
        >>> x = (y + random.normal(size=400) * 10)[:, None]
        >>> model = RareIntervals(Ridge(), random_state=0).fit(x, y)
        >>> model.predict_interval(x[:3]).shape
        (3, 2)
        >>> bool(model.evaluate(x, y)["few"]["coverage"] > 0.85)
        True
    """

    def __init__(
        self,
        estimator: Any,
        coverage: float = 0.9,
        *,
        cv: int | str = SPLIT,
        bins: Bins | None = None,
        many: int = 100,
        few: int = 20,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator, bins=bins, random_state=random_state)
        self.coverage = coverage
        self.cv = cv
        self.many = many
        self.few = few

    def fit(self, X: Any, y: Any, **params: Any) -> Self:  # noqa: N803
        """Fit the regressor and calibrate.

        Args:
            X: as the regressor takes it.
            y: labels, shape (n,).
            **params: arguments of the regressor's `fit`; those with an entry per row are split like the rows.

        Returns:
            self.

        Raises:
            ValueError: see the class.
        """
        least = rows_for(self.coverage)
        if isinstance(self.cv, str):
            check_choice("cv", self.cv, [SPLIT, PREFIT])
        else:
            check_whole("cv", self.cv, low=2)
        labels = one_target(y, "RareIntervals")
        check_consistent_length(X, labels)
        bins = chosen_bins(labels, self.bins)
        self.density_ = LabelDensity(many=self.many, few=self.few).fit(labels, bins)
        groups = joined_bins(bins, self.density_.counts.numpy(), least * (_HELD_OUT if self.cv == SPLIT else 1))
        self.groups_ = groups
        errors, calibration = self._errors(X, labels, drawn_seed(self.random_state), self._routed(params))
        self._sets = LabelSets.calibrated(errors, labels[calibration], groups, self.coverage)
        self.quantiles_ = self._sets.quantiles
        return self

    def predict_set(self, X: Any) -> Floats:  # noqa: N803
        """The union of an interval per group, in the order of labels.

        Args:
            X: shape (n, columns).

        Returns:
            Ends, shape (n, groups, 2); NaN for a group of which the set has no label.

        Raises:
            NotFittedError: not fitted.
        """
        return self._calibrated().sets(self._predicted(X))

    def predict_interval(self, X: Any) -> Floats:  # noqa: N803
        """The interval from the lowest to the highest label of the set, shape (n, 2).

        Raises:
            NotFittedError: not fitted.
        """
        return self._calibrated().intervals(self._predicted(X))

    def evaluate(self, X: Any, y: Any) -> dict[str, dict[str, float]]:  # noqa: N803
        """Coverage and width on rows that `fit` has not seen, of all rows and by shot region.

        Args:
            X: as the regressor takes it.
            y: labels, shape (n,).

        Returns:
            By region ``count``, ``coverage`` (share of labels in their set), ``set_width`` (mean length of the set) and
            ``width`` (mean length of the interval), in label units; NaN for a region without rows.

        Raises:
            NotFittedError: not fitted.
            ValueError: several targets, or labels that are not finite.
        """
        sets, predictions = self._calibrated(), self._predicted(X)
        return sets.evaluate(predictions, one_target(y, "RareIntervals"), self.density_)

    def _calibrated(self) -> LabelSets:
        check_is_fitted(self)
        return self._sets

    def _predicted(self, rows: Any) -> Floats:
        return np.asarray(self.estimator_.predict(rows), dtype=np.float64).ravel()

    def _errors(self, rows: Any, labels: Floats, seed: int, params: dict[str, Any]) -> tuple[Floats, Positions]:
        """Fit the regressor; errors of the calibration rows, and which rows these are."""
        everything = np.arange(len(labels))
        if self.cv not in (SPLIT, PREFIT):
            folds = BinnedKFold(int(self.cv), bins=self.groups_, random_state=seed)
            predicted = cross_val_predict(self.estimator, rows, labels, cv=folds, params=params)
            self.estimator_ = clone(self.estimator).fit(rows, labels, **params)
            return np.abs(np.asarray(predicted, dtype=np.float64).ravel() - labels), everything
        calibration = everything
        if self.cv == PREFIT:
            self.estimator_ = self.estimator
        else:
            fold = BinnedKFold(_HELD_OUT, bins=self.groups_, random_state=seed).assign(labels)
            train, calibration = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
            own = params_of(params, train, len(labels))
            self.estimator_ = clone(self.estimator).fit(take(rows, train), labels[train], **own)
        return np.abs(self._predicted(take(rows, calibration)) - labels[calibration]), calibration

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags
