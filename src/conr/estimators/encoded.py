"""Any regressor on tables with texts, dates and missing values."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from conr._checks import check_whole
from conr.estimators.rows import TableInput
from conr.rare.labels import Floats
from conr.rare.wrapped import fit_weighted
from conr.tables.columns import CATEGORY, Columns
from conr.tables.encoding import Encoding

_MOST_CODES = 254  # of a category, if the regressor does not say


class EncodedRegressor(RegressorMixin, TableInput):  # type: ignore[misc]
    """A regressor of matrices behind the table reading of `ConRRegressor`.

    It gets numbers unchanged, NaN where they are missing; a date as four numbers; a category as its place in
    alphabetical order, -1 if it was not in training. A regressor with the argument ``categorical_features``, such as
    scikit-learn's histogram boosting, is told which columns are categories.

    Args:
        estimator: regressor that takes NaN, or is given tables without missing values; a clone of it is fitted.
        categorical: numeric columns to treat as categories, by name or position.
        most_values: a column with more distinct numbers is replaced by positions among this many quantiles, at least 2;
            no column is if None. Histogram boosting uses the same quantiles on its own, but sorts again for each of
            them if rows have weights.

    Attributes:
        estimator_: the fitted regressor.
        cuts_: the quantiles of columns of the matrix that are positions among them, by number of the column.
        encoding_: the `conr.tables.encoding.Encoding` of columns as a matrix.

    Raises:
        TypeError, ValueError: from `fit`, something in the table that cannot be used, or what the regressor raises.

    Example:
        >>> import numpy as np
        >>> from sklearn.ensemble import HistGradientBoostingRegressor
        >>> x = np.array([["town", "3"], ["village", "4"]] * 30, dtype=object)
        >>> model = EncodedRegressor(HistGradientBoostingRegressor()).fit(x, [2.0, 1.0] * 30)
        >>> model.predict(x[:2]).round(1).tolist()
        [2.0, 1.0]
    """

    preprocess = True
    new_categories = "ignore"

    def __init__(
        self, estimator: Any, *, categorical: Sequence[int | str] | None = None, most_values: int | None = None
    ) -> None:
        self.estimator = estimator
        self.categorical = categorical
        self.most_values = most_values

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Fit the regressor.

        Args:
            X: shape (n, columns): a DataFrame, a matrix, or the `conr.tables.columns.Columns` of a file.
            y: shape (n,) or (n, k), if the regressor takes several targets.
            sample_weight: shape (n,), none negative; rows are drawn by weight if the regressor takes none.

        Returns:
            self.

        Raises:
            TypeError, ValueError: see the class.
        """
        if self.most_values is not None:
            check_whole("most_values", self.most_values, low=2)
        columns, labels = self._checked_rows(X, y)
        weights = self._checked_weights(sample_weight, len(labels))
        self.encoding_ = Encoding(scaling="none", categories="ordinal").fit(columns)
        estimator = clone(self.estimator)
        if "categorical_features" in estimator.get_params(deep=False):
            most = estimator.get_params(deep=False).get("max_bins", _MOST_CODES)
            estimator.set_params(categorical_features=self._categories(most) or None)
        self.cuts_ = {}
        if self.most_values is not None:
            self.cuts_ = self._quantiles(self._matrix(columns), self._categories(_MOST_CODES), self.most_values)
        targets = labels[:, 0] if self._is_flat else labels
        self.estimator_ = fit_weighted(estimator, self._matrix(columns), targets, weights, {}, seed=0)
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predictions of the regressor, shape (n,) or (n, k).

        Raises:
            NotFittedError: before `fit`.
            ValueError: other columns than those of the training table.
        """
        check_is_fitted(self)
        columns = self._columns(X, reset=False)
        self._mention_unknown(columns)
        return self.estimator_.predict(self._matrix(columns))

    def _matrix(self, columns: Columns) -> Any:
        assert self.encoding_ is not None  # noqa: S101  set by fit
        matrix = self.encoding_.numbers(columns)
        for column, cuts in self.cuts_.items():
            values = matrix[:, column]
            matrix[:, column] = np.where(np.isnan(values), np.nan, np.searchsorted(cuts, values))
        return matrix

    @staticmethod
    def _quantiles(matrix: Floats, categories: Sequence[int], most: int) -> dict[int, Floats]:
        """Inner quantiles of columns with more values than that, categories aside, by number of the column."""
        found = {}
        for column in set(range(matrix.shape[1])) - set(categories):
            values = matrix[~np.isnan(matrix[:, column]), column]
            if len(np.unique(values)) > most:
                shares = np.linspace(0, 1, most + 1)[1:-1]
                found[column] = np.unique(np.quantile(values, shares, method="averaged_inverted_cdf"))
        return found

    def _categories(self, most: int) -> list[int]:
        """Positions in the matrix of categories with at most so many values, which the regressor can take as such."""
        assert self.encoding_ is not None  # noqa: S101  set by fit
        found, position = [], 0
        for name, kind in self.encoding_.kinds.items():
            if kind == CATEGORY and len(self.encoding_.known[name]) <= most:
                found.append(position)
            position += self.encoding_.width_of(kind)
        return found

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.categorical = True
        tags.target_tags.multi_output = inner.target_tags.multi_output
        if inner.regressor_tags is not None:
            tags.regressor_tags.poor_score = inner.regressor_tags.poor_score
        return tags
