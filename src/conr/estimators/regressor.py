"""`ConRRegressor`: the methods of this library with scikit-learn's fit and predict."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from conr._auto import AUTO
from conr.density import Bins, LabelDensity
from conr.density.default_bins import label_bins
from conr.estimators.fitting import Part, Schedule
from conr.estimators.method_search import search_method
from conr.estimators.network import in_batches
from conr.estimators.network_settings import check_network_settings
from conr.estimators.rows import TableInput, check_labels, errors_by_region, single_pair, validation_rows
from conr.estimators.storage import ModelState, load_model, save_model
from conr.estimators.support import check_names, chosen_device, known_arguments, own_defaults, training_schedule
from conr.estimators.table_task import TableTask
from conr.estimators.threads import torch_threads_for
from conr.methods.objective import conr_settings, criterion_kind
from conr.methods.scale import LabelScale, flat
from conr.rare.labels import drawn_seed
from conr.tables.columns import Columns
from conr.tables.encoding import Encoding

Predictions = NDArray[np.float64]
HeldOut = Callable[[], tuple[Columns, Tensor]] | None
"""Makes validation rows and labels (n, k), once the inputs of training rows are known."""


class ConRRegressor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, TableInput):  # type: ignore[misc]
    r"""Regression on tables with rare labels: a small ensemble of networks, trained with any mix of DIR methods.

    Rows go through numerical embeddings into an ensemble of multi-layer perceptrons that share their weights
    (`conr.models.TableEncoder`); one linear head predicts. The method is a mix as the grid runner knows it:
    ``"vanilla"``, ``"conr"``, ``"sqinv+conr"``, ``"lds+ranksim"``, ... ConR and all other regularizers see two random
    members of the ensemble as the two views of a row.

    `fit`, `predict`, `score` (R²), `transform` (features of the trained network), `evaluate` (metrics per shot region),
    `save` and `load`. A DataFrame may hold numbers, truth values, categories, and missing values of all of them.

    Args:
        method: methods joined with ``+``, those of ``conr bench`` on tables. "auto" chooses among "vanilla", "sqinv",
            "lds", "conr" and "sqinv+conr" by the balanced error of the validation part, in about the time of two
            trainings (successive halving); the chosen one then trains as if it were named.
        window: labels within it count as alike for ConR, in label units; with several targets, in standard deviations.
            "auto" is the rule of `conr.density.suggest_settings` for standardised labels, here and for the next three.
        beta: coefficient of ConR, relative to a criterion on standardised labels.
        temperature: of ConR's similarities.
        distance_scale: how fast ConR's push grows with the distance of labels, per label unit.
        bin_width: of the label bins, in label units, one number or one per target; from the labels if None
            (`conr.density.label_bins`).
        bin_count: number of label bins per target, of equal width; not together with ``bin_width``.
        many: a label's bin with more training rows is many-shot.
        few: a label's bin with fewer training rows is few-shot.
        preprocess: whether to impute, scale and encode the inputs. If not, X must be a matrix of finite numbers, and
            goes to the network as it is.
        scaling: of numbers: "robust" (from the median, squashed to -4 to 4), "standard" (mean 0, deviation 1),
            "quantile" (to a normal distribution) or "none"; see `conr.tables.encoding.Encoding`.
        categorical: numeric columns to treat as categories, by name or position. Texts and categorical dtypes always
            are.
        new_categories: a category that was not in training counts as none of the known ones with a warning
            ("ignore"), or is an error ("error").
        embedding: of numbers: "piecewise", "periodic" or "none".
        members: of the ensemble.
        width: of each layer, and number of features.
        depth: layers.
        dropout: probability of dropping a unit, in [0, 1).
        learning_rate: at the start; it falls to zero along a cosine over ``max_epochs``.
        weight_decay: of AdamW.
        batch_size: rows per step; "auto" is 128 up to 10,000 training rows and grows to 1024.
        max_epochs: largest number of passes over the training rows; "auto" makes about 1500 steps, in 24 to
            180 epochs; without validation rows 2500, in 40 to 300.
        early_stopping: whether the epoch with the lowest validation error is kept, and training ends early. The
            validation part is the ``eval_set`` of `fit`, or a share of the training rows of each label bin, rounded
            down: the rarest bins lose none. If that would be fewer than ten rows, the last epoch is kept.
        validation_fraction: share of the rows of a bin for it, in (0, 0.5].
        patience: epochs without a lower validation error after which training ends; "auto" is a third of
            ``max_epochs``, at least 10.
        monitor: the validation error: "bmae" (mean over label bins), "mae" or "few" (of few-shot rows).
        time_limit: seconds after which training ends, with the best epoch so far; the cosine then ends there. No limit
            if None.
        device: of torch, as "cpu" or "cuda:1"; "auto" is a GPU if there is one.
        random_state: seed, generator or None, as everywhere in scikit-learn. The global state of torch is left alone.
        verbose: 1 prints a line per epoch.

    Attributes:
        n_features_in_: columns of X.
        feature_names_in_: their names, if they have some.
        n_outputs_: number of targets.
        bins_: of the labels.
        density_: `conr.LabelDensity` of the training labels: counts and shot regions.
        method_: the method of the network.
        search_: with ``method="auto"`` a dict per short training, in order: ``round``, ``method``, ``epochs`` and
            ``bmae``, the balanced validation error in standard deviations of the label; else empty.
        settings_: ConR's four numbers, a `conr.density.ConRSettings` with "auto" resolved.
        encoding_: the `conr.tables.encoding.Encoding` of columns as inputs; None without ``preprocess``.
        kinds_: kind of each column by name, "number" or "category", decided by the whole table given to `fit`.
        network_: the trained network, in float64.
        history_: per epoch the loss and the validation error in standard deviations of the label.
        best_epoch_: whose weights were kept, counted from 1.
        device_: where the network is.

    Raises:
        TypeError: an unknown argument; the message names the nearest one. From `fit`, a value that is neither number
            nor text.
        ValueError: from `fit`, an argument outside its range, an unknown method, infinite values, constant labels, no
            validation rows to choose a method by.

    Notes:
        Predictions are computed in float64, so they do not depend on how rows are batched. On the CPU the same
        ``random_state`` and number of threads give the same model.

    Example:
        >>> import numpy as np
        >>> from conr.estimators import ConRRegressor
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> model = ConRRegressor(max_epochs=2, members=2, random_state=0).fit(x, x[:, 0] ** 2)
        >>> model.predict(x[:4]).shape
        (4,)
    """

    @known_arguments
    def __init__(
        self,
        method: str = "sqinv+conr",
        *,
        window: float | str = AUTO,
        beta: float | str = AUTO,
        temperature: float | str = AUTO,
        distance_scale: float | str = AUTO,
        bin_width: float | Sequence[float] | None = None,
        bin_count: int | None = None,
        many: int = 100,
        few: int = 20,
        preprocess: bool = True,
        scaling: str = "robust",
        categorical: Sequence[int | str] | None = None,
        new_categories: str = "ignore",
        embedding: str = "piecewise",
        members: int = 4,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
        learning_rate: float = 6e-3,
        weight_decay: float = 1e-3,
        batch_size: int | str = AUTO,
        max_epochs: int | str = AUTO,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        patience: int | str = AUTO,
        monitor: str = "bmae",
        time_limit: float | None = None,
        device: str = AUTO,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.window = window
        self.beta = beta
        self.temperature = temperature
        self.distance_scale = distance_scale
        self.bin_width = bin_width
        self.bin_count = bin_count
        self.many = many
        self.few = few
        self.preprocess = preprocess
        self.scaling = scaling
        self.categorical = categorical
        self.new_categories = new_categories
        self.embedding = embedding
        self.members = members
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.monitor = monitor
        self.time_limit = time_limit
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params: Any) -> Self:
        """Set arguments by name.

        Raises:
            TypeError: an argument that there is not; the message names the nearest.
        """
        check_names(type(self), params)
        super().set_params(**params)
        return self

    @own_defaults()
    @torch.inference_mode(mode=False)  # wherever it is called from
    @torch.enable_grad()
    def fit(
        self,
        X: Any,  # noqa: N803  scikit-learn's name
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        eval_set: tuple[Any, Any] | Sequence[tuple[Any, Any]] | None = None,
    ) -> Self:
        """Train on rows and labels.

        Args:
            X: shape (n, columns): a DataFrame, a matrix, or the `conr.tables.columns.Columns` of a file.
            y: shape (n,), or (n, k) for several targets.
            sample_weight: shape (n,), none negative: factors of the criterion's weights. Rows of weight 0 are left out.
            eval_set: rows and labels that choose the best epoch, ``(X, y)`` or ``[(X, y)]``, in the place of a part of
                the training rows.

        Returns:
            self.

        Raises:
            TypeError, ValueError: something that cannot be used; the message says what was expected.
            FloatingPointError: the loss stopped being finite, as with a learning rate that is too high.
        """
        started = time.monotonic()
        self._check_settings()
        columns, labels = self._checked_rows(X, y)
        weights = self._checked_weights(sample_weight, len(labels))
        seed = drawn_seed(self.random_state)
        used = np.arange(len(labels)) if weights is None else np.flatnonzero(weights)
        check_labels(labels[used])
        bins = label_bins(torch.from_numpy(labels), width=self.bin_width, count=self.bin_count)
        self.bins_ = Bins([edges.tolist() for edges in bins.edges], clamp=True)
        part = used[:0]
        held_out: HeldOut = None if eval_set is None else partial(self._held_out, *single_pair(eval_set))
        if held_out is None and (self.early_stopping or self.method == AUTO):
            part = validation_rows(labels, used, self.bins_, share=self.validation_fraction, seed=seed)
            if len(part):
                held_out = partial(_pair, columns.take(part), labels[part])

        def task_of(rows: NDArray[np.int64], held_out: HeldOut) -> tuple[TableTask, Schedule]:
            own = None if weights is None else weights[rows]
            return self._task(columns.take(rows), labels[rows], own, held_out, seed=seed, started=started)

        task, schedule = task_of(np.setdiff1d(used, part), held_out)
        self.method_ = self.method
        self.search_: list[dict[str, Any]] = []
        if self.method == AUTO:
            with torch_threads_for(len(task.train.labels)):
                self.method_, self.search_ = search_method(task, schedule)
            if len(part) and not self.early_stopping:
                task, schedule = task_of(used, None)  # its rows have chosen, and now train as well
        with torch_threads_for(len(task.train.labels)):
            network, fitted = task.trained(self.method_, schedule)
        self._targets = task.targets  # what some heads need to be made again
        self.network_ = network.double().eval()
        self.history_ = fitted.history
        self.best_epoch_ = fitted.best_epoch
        return self

    def predict(self, X: Any) -> Predictions:  # noqa: N803
        """Labels of rows, shape (n,) or (n, k), float64.

        Raises:
            NotFittedError: before `fit`.
            ValueError: other columns than those of the training table.
        """
        _, predictions = self._outputs(X)
        labels = predictions.reshape(len(predictions), -1).cpu() * self._scale.deviation + self._scale.mean  # (n, k)
        array: Predictions = labels.numpy()
        return array.reshape(-1) if self._is_flat else array

    def transform(self, X: Any) -> Predictions:  # noqa: N803
        """Features of rows, shape (n, width), float64: means over the ensemble.

        Raises:
            NotFittedError, ValueError: as `predict`.
        """
        features, _ = self._outputs(X)
        array: Predictions = features.cpu().numpy()
        return array

    @own_defaults()
    def evaluate(self, X: Any, y: Any) -> dict[str, dict[str, float]]:  # noqa: N803
        """Metrics over all rows and per shot region of the label, by the counts of the training labels.

        Args:
            X: shape (n, columns).
            y: shape (n,) or (n, k). A label beyond the training labels belongs to the nearest bin.

        Returns:
            For "all", "many", "median" and "few": ``count``, ``mae``, ``mse``, ``rmse``, ``gm``, ``bmae`` and
            correlations (`conr.metrics.shot_metrics`); NaN where a region has no rows.

        Raises:
            NotFittedError, ValueError: as `predict`; labels that are not finite or have another shape.
        """
        predictions = torch.from_numpy(self.predict(X).reshape(-1, self.n_outputs_))
        labels = torch.from_numpy(self._checked_labels(y, len(predictions), reset=False))
        return errors_by_region(flat(predictions), flat(labels), self.density_)

    def save(self, path: str | Path) -> Path:
        """Save the model into a folder: ``model.json`` and ``weights.safetensors``. Nothing in it is ever executed.

        Args:
            path: the folder; made if it is not there. An earlier model in it is replaced.

        Returns:
            The folder.

        Raises:
            NotFittedError: before `fit`.
            OSError: it cannot be written.
            TypeError: an argument that JSON cannot hold, as a generator for ``random_state``.
        """
        check_is_fitted(self)
        return save_model(self.get_params(deep=False), ModelState.of(self), Path(path))

    @classmethod
    @own_defaults()
    def load(cls, path: str | Path, *, device: str = AUTO) -> Self:
        """The model that `save` left in a folder.

        Args:
            path: the folder.
            device: as for the class.

        Raises:
            FileNotFoundError: no such folder, or a file is missing.
            ValueError: a file that is truncated, changed or no model; the message names it.
        """
        return load_model(cls, Path(path), device=chosen_device(device))

    @property
    def _n_features_out(self) -> int:
        return self.network_.encoder.out_features

    def __sklearn_tags__(self) -> Any:
        """Missing values and categories are fine with preprocessing; several targets always."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.preprocess
        tags.input_tags.categorical = self.preprocess
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_settings(self) -> None:
        check_network_settings(self)

    def _task(
        self,
        columns: Columns,
        labels: NDArray[np.float64],
        weights: NDArray[np.float64] | None,
        held_out: HeldOut,
        *,
        seed: int,
        started: float,
    ) -> tuple[TableTask, Schedule]:
        """A training on rows (n, columns) with labels (n, k), and what this estimator learns from them before it."""
        self.encoding_ = Encoding(scaling=self.scaling).fit(columns) if self.preprocess else None
        targets = torch.from_numpy(labels)
        self._scale = LabelScale.of(targets)
        self.density_ = LabelDensity(many=self.many, few=self.few).fit(flat(targets), self.bins_)
        schedule = training_schedule(self, len(targets), seed, started, to_end=held_out is None)
        self.settings_ = conr_settings(
            targets,
            self.bins_,
            self._scale,
            batch_size=schedule.batch_size,
            criterion="l1" if self.method == AUTO else criterion_kind(self.method),
            window=self.window,
            beta=self.beta,
            temperature=self.temperature,
            distance_scale=self.distance_scale,
        )
        self.device_ = chosen_device(self.device)
        task = TableTask(
            self._part(columns, targets, weights),
            None if held_out is None else self._part(*held_out()),
            self.bins_,
            self.density_,
            self._scale,
            self.settings_,
            self.get_params(deep=False),
        )
        return task, schedule

    def _part(self, columns: Columns, labels: Tensor, weights: NDArray[np.float64] | None = None) -> Part:
        return Part(
            inputs=self._inputs(columns).to(self.device_),
            labels=labels.to(self.device_),
            weights=None if weights is None else torch.from_numpy(weights).float().to(self.device_),
        )

    @own_defaults()
    def _outputs(self, X: Any) -> tuple[Tensor, Tensor]:  # noqa: N803
        check_is_fitted(self)
        columns = self._columns(X, reset=False)
        self._mention_unknown(columns)
        inputs = self._inputs(columns)
        with torch_threads_for(len(inputs)):
            return in_batches(self.network_, inputs.to(self.device_, torch.float64))


def _pair(columns: Columns, labels: NDArray[np.float64]) -> tuple[Columns, Tensor]:
    return columns, torch.from_numpy(labels)
