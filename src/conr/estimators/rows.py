"""Checks of the estimator's input: rows, labels, weights."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data
from torch import Tensor

from conr.density import GROUPS, REGIONS, Bins, LabelDensity
from conr.methods.scale import flat
from conr.metrics.shot import regression_metrics
from conr.tables.columns import NUMBER, Columns, Kind, number_columns
from conr.tables.encoding import Encoding
from conr.tables.frames import frame_columns, has_texts, is_frame

FEWEST_VALIDATION_ROWS = 10


class TableInput(BaseEstimator):  # type: ignore[misc]
    """The part of an estimator that reads tables.

    A subclass has the arguments ``preprocess``, ``categorical`` and ``new_categories`` of
    `conr.estimators.ConRRegressor`, and sets ``encoding_``.
    """

    preprocess: bool
    new_categories: str
    feature_names_in_: NDArray[Any]
    categorical: Sequence[int | str] | None
    encoding_: Encoding | None
    n_features_in_: int
    n_outputs_: int
    _is_flat: bool

    def _checked_rows(self, X: Any, y: Any) -> tuple[Columns, NDArray[np.float64]]:  # noqa: N803
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None")
        columns = self._columns(X, reset=True)
        return columns, self._checked_labels(y, len(columns), reset=True)

    @property
    def kinds_(self) -> dict[str, Kind]:
        """Kind of each column by name, as the table given to ``fit`` decided."""
        return dict.fromkeys(self._names(), NUMBER) if self.encoding_ is None else self.encoding_.kinds

    def _columns(self, X: Any, *, reset: bool) -> Columns:  # noqa: N803
        if isinstance(X, Columns):
            return self._own_columns(X, reset=reset)
        if hasattr(X, "to_pandas"):  # a table of pyarrow or polars
            X = X.to_pandas()  # noqa: N806
        if is_frame(X):
            twice = [name for name, count in Counter(X.columns).items() if count > 1]
            if twice:
                raise ValueError(f"X: expected each column's name once, got {twice[0]!r} twice")
        kinds = None if reset or self.encoding_ is None else self.encoding_.kinds
        if self.preprocess and (has_texts(X, self.categorical) or set((kinds or {}).values()) - {NUMBER}):
            if not is_frame(X):
                X = check_array(X, dtype=None, ensure_all_finite=False)  # noqa: N806
            validate_data(self, X, reset=reset, skip_check_array=True)
            columns = frame_columns(X, self._names(), categorical=self.categorical, kinds=kinds)
            if len(X) == 0:
                raise ValueError("X: expected rows, got 0 samples")
            return columns
        matrix = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan" if self.preprocess else True
        )
        return number_columns(matrix, self._names())

    def _own_columns(self, columns: Columns, *, reset: bool) -> Columns:
        if reset:
            self.feature_names_in_ = np.array(list(columns.values), dtype=object)
            self.n_features_in_ = len(columns.values)
            if not self.preprocess and len(columns.numbers) < len(columns.values):
                raise ValueError("preprocess: expected it with categories or dates among the columns, got False")
            return columns
        own, given = ({name: kind.name for name, kind in kinds.items()} for kinds in (self.kinds_, columns.kinds))
        if own != given:
            raise ValueError(f"X: expected the columns of training, {own!r:.200}, got {given!r:.200}")
        return columns

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return [f"x{position}" for position in range(self.n_features_in_)]
        return list(names)

    def _checked_labels(self, y: Any, rows: int, *, reset: bool) -> NDArray[np.float64]:
        if getattr(getattr(y, "dtype", None), "kind", "") in {"m", "M"}:
            raise TypeError(f"y: expected numbers as labels, got {y.dtype}; make them numbers, such as days")
        labels: NDArray[np.float64] = check_array(
            y, ensure_2d=False, dtype=np.float64, copy=True, input_name="y", estimator=self
        )
        if labels.ndim == 0 or labels.ndim > 2:
            raise ValueError(f"y: expected shape (n,) or (n, k), got {labels.shape}")
        if len(labels) != rows:
            raise ValueError(
                f"y: expected {rows} labels, one per row of X, got {len(labels)}: inconsistent numbers of samples"
            )
        matrix = labels.reshape(rows, -1)
        if reset:
            self._is_flat = labels.ndim == 1
            self.n_outputs_ = matrix.shape[1]
        elif matrix.shape[1] != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} targets as in training, got {matrix.shape[1]}")
        return matrix

    def _checked_weights(self, sample_weight: ArrayLike | None, rows: int) -> NDArray[np.float64] | None:
        if sample_weight is None:
            return None
        weights: NDArray[np.float64] = _check_sample_weight(
            sample_weight, np.empty((rows, 1)), dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ValueError("sample_weight: expected a weight above zero, got zero for all samples")
        scaled: NDArray[np.float64] = weights / weights[weights > 0].mean()
        return scaled

    def _held_out(self, X: Any, y: Any) -> tuple[Columns, Tensor]:  # noqa: N803
        columns = self._columns(X, reset=False)
        self._mention_unknown(columns)
        return columns, torch.from_numpy(self._checked_labels(y, len(columns), reset=False))

    def _mention_unknown(self, columns: Columns) -> None:
        for sentence in () if self.encoding_ is None else self.encoding_.unknown(columns):
            if self.new_categories == "error":
                raise ValueError(f"{sentence}; new_categories='ignore' treats it as none of them")
            warnings.warn(f"{sentence}: treated as none of them", stacklevel=4)

    def _inputs(self, columns: Columns) -> Tensor:
        if self.encoding_ is not None:
            return torch.from_numpy(self.encoding_.transform(columns))
        return torch.from_numpy(np.stack(list(columns.numbers.values()), axis=1).astype(np.float32))


def check_labels(labels: NDArray[np.float64]) -> None:
    """Require labels (n, k) of at least two rows that differ in each target."""
    if len(labels) < 2:
        raise ValueError(f"y: expected at least 2 rows to learn from, got n_samples = {len(labels)} (1 sample is none)")
    constant = (labels == labels[0]).all(axis=0)
    if constant.any():
        where = f" in target {int(constant.argmax())}" if labels.shape[1] > 1 else ""
        raise ValueError(
            f"y: expected labels that differ, got {labels[0, constant.argmax()]:g} in all {len(labels)} rows{where}"
        )


def single_pair(eval_set: Any) -> tuple[Any, Any]:
    """The rows and labels of an ``eval_set``, which may be in a list of one."""
    pair = eval_set[0] if isinstance(eval_set, Sequence) and len(eval_set) == 1 else eval_set
    if not isinstance(pair, Iterable) or len(tuple(pair)) != 2:
        raise ValueError("eval_set: expected a pair (X, y), or a list of one such pair")
    rows, labels = pair
    return rows, labels


def errors_by_region(predictions: Tensor, labels: Tensor, density: LabelDensity) -> dict[str, dict[str, float]]:
    """Metrics over all rows and per shot region.

    Args:
        predictions: shape (n,) or (n, k).
        labels: like ``predictions``.
        density: of the training labels.
    """
    found = regression_metrics(predictions, labels, density)
    by_region: dict[str, dict[str, float]] = {group: {} for group in GROUPS}
    for key, value in found.items():
        name, _, region = key.rpartition("_")
        if region in REGIONS:
            by_region[region][name] = value
        else:
            by_region["all"][key] = value
    return by_region


def validation_rows(
    labels: NDArray[np.float64], used: NDArray[np.int64], bins: Bins, *, share: float, seed: int
) -> NDArray[np.int64]:
    """Rows that choose the best epoch: a share of each label bin, rounded down, so that the rarest bins stay whole.

    Args:
        labels: shape (n, k).
        used: rows to choose from.
        bins: of the labels.
        share: of the rows of a bin.
        seed: of the draw.

    Returns:
        Sorted rows; none if that would be fewer than ten.
    """
    index = bins.index(flat(torch.from_numpy(labels[used]))).numpy()
    random = np.random.default_rng(seed)
    members = (random.permutation(np.flatnonzero(index == occupied)) for occupied in np.unique(index))
    chosen = np.sort(np.concatenate([rows[: int(share * len(rows))] for rows in members]))
    return used[chosen] if len(chosen) >= FEWEST_VALIDATION_ROWS else used[:0]
