"""Models of tables that a grid runs beside its networks: what each name is, what it needs, and what it reads."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor

from conr.data import ArrayDataset, RegressionData, Table
from conr.density.bins import Bins
from conr.density.splits import SPLITS
from conr.estimators import RareRegressor
from conr.rare.labels import Floats, take
from conr.rare.wrapped import draw
from conr.tables.columns import CATEGORY, Columns, number_columns
from conr.tables.encoding import Encoding

ABSOLUTE, SQUARED = "absolute_error", "squared_error"

INPUTS, FRAME, FILLED, COLUMNS = "inputs", "frame", "filled frame", "columns"
"""Inputs of a model: those of networks; a DataFrame with NaN and categories; one without NaN; `Columns`."""


class Making(NamedTuple):
    """Settings of a model, which takes of them what it needs.

    Attributes:
        loss: of boosting.
        iterations: of boosting.
        seed: of everything random.
        validation: rows and labels that choose the best epoch of a network.
        bins: of the target's labels.
        many: a bin with more labels is many-shot.
        few: a bin with fewer labels is few-shot.
    """

    loss: str
    iterations: int
    seed: int
    validation: tuple[Any, Floats]
    bins: Bins
    many: int
    few: int


class TableModel(NamedTuple):
    """A model by its name in a grid.

    Attributes:
        make: gives the unfitted regressor of one target, whose `fit` takes ``sample_weight``.
        reads: "inputs", "frame", "filled frame" or "columns".
        packages: that it needs, by their import names.
        iterations: trees, of which the validation rows choose the best number; 1 for what is no boosting.
        chooses: whether it weighs and corrects by itself.
    """

    make: Callable[[Making], Any]
    reads: str
    packages: tuple[str, ...]
    iterations: int = 1
    chooses: bool = False


class Trees(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Boosting for one target, whose predictions after each iteration are known.

    Args:
        loss: "absolute_error" or "squared_error".
        iterations: trees.
        used: trees that predict, the first ones; all if None.
        random_state: seed.
    """

    def __init__(self, loss: str, iterations: int, *, used: int | None = None, random_state: int = 0) -> None:
        self.loss = loss
        self.iterations = iterations
        self.used = used
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the trees, which may be fewer if ``used`` says so."""
        self.model_ = self._made().fit(X, y, sample_weight=sample_weight)
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Predictions, shape (n,)."""
        return np.asarray(self.model_.predict(X), dtype=np.float64)

    def staged_predict(self, X: Any) -> Iterator[Floats]:  # noqa: N803
        """Predictions (n,) after each iteration."""
        yield from self.model_.staged_predict(X)

    def _made(self) -> Any:
        return HistGradientBoostingRegressor(
            loss=self.loss, max_iter=self.used or self.iterations, early_stopping=False, random_state=self.random_state
        )


class LightGBM(Trees):
    """Boosting of LightGBM."""

    def staged_predict(self, X: Any) -> Iterator[Floats]:  # noqa: N803
        """Predictions (n,) after each iteration; LightGBM may have stopped before the last, and they stay the same."""
        total = np.zeros(len(X))
        for number in range(self.iterations):
            if number < self.model_.booster_.current_iteration():
                total = total + self.model_.predict(X, start_iteration=number, num_iteration=1)
            yield total

    def _made(self) -> Any:
        from lightgbm import LGBMRegressor  # noqa: PLC0415  optional

        return LGBMRegressor(
            objective={ABSOLUTE: "regression_l1", SQUARED: "regression"}[self.loss],
            n_estimators=self.used or self.iterations,
            n_jobs=torch.get_num_threads(),
            random_state=self.random_state,
            verbose=-1,
        )


class CatBoost(Trees):
    """Boosting of CatBoost, whose learning rate follows the number of trees, so that all of them are always fitted."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the trees."""
        categories = list(X.columns[X.dtypes == "category"])
        self.model_ = self._made().fit(X, y, sample_weight=sample_weight, cat_features=categories)
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Predictions, shape (n,)."""
        return np.asarray(self.model_.predict(X, ntree_end=self.used or 0), dtype=np.float64)

    def _made(self) -> Any:
        from catboost import CatBoostRegressor  # noqa: PLC0415  optional

        return CatBoostRegressor(
            loss_function={ABSOLUTE: "MAE", SQUARED: "RMSE"}[self.loss],
            iterations=self.iterations,
            thread_count=torch.get_num_threads(),
            random_seed=self.random_state,
            allow_writing_files=False,
            verbose=False,
        )


class Pytabkit(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A network of pytabkit with its defaults, its best epoch chosen on rows that are given.

    Args:
        name: of its class.
        validation: rows and labels.
        random_state: seed.
    """

    def __init__(self, name: str, validation: tuple[Any, Floats], random_state: int = 0) -> None:
        self.name = name
        self.validation = validation
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the network, on rows drawn by weight if there are weights, as it takes none."""
        import pytabkit  # noqa: PLC0415  optional

        rows = np.arange(len(y))
        if sample_weight is not None:
            rows = draw(np.asarray(sample_weight), np.random.default_rng(self.random_state))
        own_rows, own_labels = self.validation
        network = getattr(pytabkit, self.name)(
            device="cpu", n_threads=torch.get_num_threads(), random_state=self.random_state
        )
        self.model_ = network.fit(take(X, rows), np.asarray(y)[rows], X_val=own_rows, y_val=own_labels)
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Predictions, shape (n,)."""
        return np.asarray(self.model_.predict(X), dtype=np.float64).reshape(-1)


def _boosting(cls: type[Trees]) -> Callable[[Making], Any]:
    return lambda making: cls(making.loss, making.iterations, random_state=making.seed)


def _pytabkit(name: str) -> Callable[[Making], Any]:
    return lambda making: Pytabkit(name, making.validation, making.seed)


def _blend(candidates: str) -> Callable[[Making], Any]:
    return lambda making: RareRegressor(
        candidates, bins=making.bins, many=making.many, few=making.few, random_state=making.seed
    )


HGB = "hgb"
MODELS = {
    HGB: TableModel(_boosting(Trees), INPUTS, ("sklearn",), iterations=200),
    "lightgbm": TableModel(_boosting(LightGBM), FRAME, ("lightgbm", "pandas"), iterations=200),
    "catboost": TableModel(_boosting(CatBoost), FRAME, ("catboost", "pandas"), iterations=1000),
    "tabm": TableModel(_pytabkit("TabM_D_Regressor"), FILLED, ("pytabkit", "pandas")),
    "realmlp": TableModel(_pytabkit("RealMLP_TD_Regressor"), FILLED, ("pytabkit", "pandas")),
    "rare": TableModel(_blend("auto"), COLUMNS, ("sklearn", "tabm", "rtdl_num_embeddings"), chooses=True),
    "rare-boosting": TableModel(_blend("boosting"), COLUMNS, ("sklearn",), chooses=True),
}


def rows_for(model: TableModel, data: RegressionData) -> dict[str, Any]:
    """Rows of the training, validation and test split as a model reads them.

    Raises:
        ValueError: inputs that are no rows of numbers.
    """
    splits = {name: getattr(data.splits, name) for name in SPLITS}
    for split in splits.values():
        if not isinstance(split, ArrayDataset) or split.inputs.ndim != 2:
            raise ValueError(f"expected a table, whose inputs are rows of numbers, got {type(split).__name__}")
    if model.reads == INPUTS:
        return {name: split.inputs.numpy() for name, split in splits.items()}
    if isinstance(data, Table):
        columns = data.columns
    else:
        columns = {
            name: number_columns(split.inputs.double().numpy(), [f"x{one}" for one in range(split.inputs.shape[1])])
            for name, split in splits.items()
        }
    if model.reads == COLUMNS:
        return dict(columns)
    encoding = Encoding(scaling="none", categories="ordinal").fit(columns["train"])
    return {name: _frame(encoding, own, filled=model.reads == FILLED) for name, own in columns.items()}


def _frame(encoding: Encoding, columns: Columns, *, filled: bool) -> Any:
    """Columns as a DataFrame: numbers, NaN or the training median where missing, and categories of pandas.

    A missing category is one of its own, and so is one that training did not have. A filled frame has a column more for
    each number that is missing in some training row.
    """
    import pandas as pd  # noqa: PLC0415  optional

    matrix = encoding.transform(columns).astype(np.float64) if filled else encoding.numbers(columns)  # (n, p)
    frame = pd.DataFrame(matrix, columns=[f"x{one}" for one in range(matrix.shape[1])])
    position = 0
    for name, kind in encoding.kinds.items():
        if kind == CATEGORY:
            codes = frame[f"x{position}"].astype(int) + 1  # 0 is a new one
            categories = pd.RangeIndex(len(encoding.known[name]) + 1)
            frame[f"x{position}"] = pd.Categorical.from_codes(codes, categories=categories)
        position += encoding.width_of(kind)
    return frame
