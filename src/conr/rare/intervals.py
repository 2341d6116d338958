"""`RareIntervals`: prediction intervals whose coverage holds for rare labels, too."""

import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d

from conr._checks import check_choice, check_number, check_whole
from conr.density import GROUPS, REGIONS
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.rare.folds import BinnedKFold
from conr.rare.labels import Floats, bin_index, checked_labels, chosen_bins, take
from conr.rare.rebalanced import PREFIT
from conr.rare.wrapped import Wrapped, params_of

SPLIT = "split"

_HELD_OUT = 4  # one of so many rows calibrates


class RareIntervals(Wrapped):
    r"""Intervals around the predictions of any regressor that cover the label in every group of labels.

    $$C(x) = \bigcup_g \{y \in g : |y - \hat y(x)| \le q_g\}, \qquad
      q_g = \text{the } \lceil (n_g + 1)\, c \rceil\text{-th smallest of } |y_i - \hat y(x_i)|,\ y_i \in g$$

    Symbols: $g$ groups of neighbouring label bins, $n_g$ calibration rows in one, $c$ coverage. A plain interval has
    one quantile for all rows, which the common labels settle; it covers 90 % on average, and of the rare labels
    perhaps half. Here, if calibration rows and a new row of group g are exchangeable,
    $P(y \in C(x) \mid y \in g) \ge c$, whatever the regressor: its error is one of $n_g + 1$ that are equally likely to
    be the largest. Source: Vovk, "Conditional validity of inductive conformal predictors", Machine Learning 2013, with
    groups of labels for classes.

    A finite quantile needs $n_g \ge \lceil 1 / (1 - c) \rceil - 1$ rows, so neighbouring bins are joined until each
    group has as many (9 for 90 %). The price is width: where the regressor is blind, a set holds all labels that are
    rare, however common the row.

    Args:
        estimator: regressor or pipeline; a clone of it is fitted.
        coverage: c, above 0 and below 1.
        cv: ``"split"`` calibrates on a quarter of the rows of each group, which the regressor does not see: the
            guarantee above. A number of folds calibrates on cross-fitted errors of all rows, and the regressor sees all
            of them: better predictions, and no proof, although errors of models with fewer rows are rather too large.
            ``"prefit"``: the estimator is fitted, and the rows given to `fit` are others than it was trained on.
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
        When it fails: if new rows come from elsewhere (not exchangeable), and for one bin of a group that holds
        several: coverage is that of the group, and of one calibration it scatters about c, the more so the fewer rows
        a group has (with nine rows by 0.09).

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
        self.estimator = estimator
        self.coverage = coverage
        self.cv = cv
        self.bins = bins
        self.many = many
        self.few = few
        self.random_state = random_state

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
        check_number("coverage", self.coverage, low=0, open_low=True)
        if self.coverage >= 1:
            raise ValueError(f"coverage: expected a number below 1, got {self.coverage}")
        if isinstance(self.cv, str):
            check_choice("cv", self.cv, [SPLIT, PREFIT])
        else:
            check_whole("cv", self.cv, low=2)
        labels = self._one_target(y)
        check_consistent_length(X, labels)
        bins = chosen_bins(labels, self.bins)
        self.density_ = LabelDensity(many=self.many, few=self.few).fit(labels, bins)
        least = math.ceil(1 / (1 - self.coverage) - 1e-9) - 1
        self.groups_ = _joined(bins, self.density_.counts.numpy(), least * (_HELD_OUT if self.cv == SPLIT else 1))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        errors, group = self._errors(X, labels, seed, self._routed(params))
        self.quantiles_ = np.array([_quantile(errors[group == one], self.coverage) for one in range(len(self.groups_))])
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predictions of the regressor, shape (n,).

        Raises:
            NotFittedError: not fitted.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def predict_set(self, X: Any) -> Floats:  # noqa: N803
        """The union of an interval per group, in the order of labels.

        Args:
            X: shape (n, columns).

        Returns:
            Ends, shape (n, groups, 2); NaN for a group of which the set has no label.

        Raises:
            NotFittedError: not fitted.
        """
        predictions = np.asarray(self.predict(X), dtype=np.float64).reshape(-1, 1)  # (n, 1)
        edges = self.groups_.edges[0].numpy().copy()
        edges[0], edges[-1] = -np.inf, np.inf  # a label beyond the training ones belongs to the outer groups
        low = np.maximum(predictions - self.quantiles_, edges[:-1])  # (n, groups)
        high = np.minimum(predictions + self.quantiles_, edges[1:])  # (n, groups)
        ends = np.stack((low, high), axis=2)
        return np.where((low <= high)[:, :, None], ends, np.nan)

    def predict_interval(self, X: Any) -> Floats:  # noqa: N803
        """The interval from the lowest to the highest label of the set, shape (n, 2).

        Raises:
            NotFittedError: not fitted.
        """
        sets = self.predict_set(X)
        return np.stack((np.nanmin(sets[:, :, 0], axis=1), np.nanmax(sets[:, :, 1], axis=1)), axis=1)

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
        sets, labels = self.predict_set(X), self._one_target(y)
        errors = np.abs(np.asarray(self.predict(X), dtype=np.float64).ravel() - labels)
        per_row = {
            "coverage": errors <= self.quantiles_[bin_index(labels, self.groups_)],
            "set_width": np.nansum(sets[:, :, 1] - sets[:, :, 0], axis=1),
            "width": np.nanmax(sets[:, :, 1], axis=1) - np.nanmin(sets[:, :, 0], axis=1),
        }
        region = self.density_.regions(torch.from_numpy(labels)).numpy()  # (n,)
        chosen = [np.ones(len(labels), dtype=bool), *(region == one for one in range(len(REGIONS)))]
        return {
            name: {"count": float(rows.sum())}
            | {key: float(values[rows].mean()) if rows.any() else math.nan for key, values in per_row.items()}
            for name, rows in zip(GROUPS, chosen, strict=True)
        }

    def _one_target(self, y: Any) -> Floats:
        labels = checked_labels(y)
        if labels.ndim == 2 and labels.shape[1] > 1:
            raise ValueError(f"y: expected one target, got shape {labels.shape}; fit one RareIntervals for each")
        found: Floats = column_or_1d(labels, warn=True)
        return found

    def _errors(self, rows: Any, labels: Floats, seed: int, params: dict[str, Any]) -> tuple[Floats, NDArray[np.int64]]:
        """Fit the regressor; errors of the calibration rows, and their groups."""
        group = bin_index(labels, self.groups_)
        if self.cv == PREFIT:
            self.estimator_ = self.estimator
            calibration = np.arange(len(labels))
        elif self.cv == SPLIT:
            fold = BinnedKFold(_HELD_OUT, bins=self.groups_, random_state=seed).assign(labels)
            train, calibration = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
            own = params_of(params, train, len(labels))
            self.estimator_ = clone(self.estimator).fit(take(rows, train), labels[train], **own)
        else:
            folds = BinnedKFold(int(self.cv), bins=self.groups_, random_state=seed)
            predicted = cross_val_predict(self.estimator, rows, labels, cv=folds, params=params)
            self.estimator_ = clone(self.estimator).fit(rows, labels, **params)
            return np.abs(np.asarray(predicted, dtype=np.float64).ravel() - labels), group
        predicted = np.asarray(self.estimator_.predict(take(rows, calibration)), dtype=np.float64).ravel()
        return np.abs(predicted - labels[calibration]), group[calibration]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags


def _quantile(errors: Floats, coverage: float) -> float:
    """The smallest error that a new one of the same kind does not exceed with this probability."""
    rank = math.ceil((len(errors) + 1) * coverage - 1e-9)
    return float(np.sort(errors)[rank - 1])


def _joined(bins: Bins, counts: NDArray[np.int64], least: int) -> Bins:
    """Bins joined until each has enough rows: the emptiest one with its emptier neighbour, again and again."""
    edges, rows = bins.edges[0].tolist(), counts.tolist()
    while len(rows) > 1 and min(rows) < least:
        emptiest = rows.index(min(rows))
        right = emptiest == 0 or (emptiest + 1 < len(rows) and rows[emptiest + 1] < rows[emptiest - 1])
        first = emptiest if right else emptiest - 1
        rows[first : first + 2] = [rows[first] + rows[first + 1]]
        del edges[first + 1]
    if min(rows) < least:
        raise ValueError(f"y: expected at least {least} rows for this coverage, got n_samples = {sum(rows)}")
    return Bins(edges, clamp=True)
