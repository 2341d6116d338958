"""`Rebalanced`: corrects predictions of any regressor that shrink towards the common labels."""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from conr._checks import check_choice, check_number, check_whole
from conr.density import GROUPS
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.metrics.shot import regression_metrics
from conr.rare.folds import BinnedKFold
from conr.rare.labels import Floats, Positions, checked_labels, chosen_bins, drawn_seed, take
from conr.rare.maps import MAPS, Correction, CrossFitted, affordable, best_of, fit_map
from conr.rare.tradeoff import draw_tradeoff
from conr.rare.wrapped import Wrapped, params_of

PREFIT = "prefit"
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)

_PREFIT_FOLDS = 5


class Tradeoff(NamedTuple):
    """Errors of corrected predictions by power, one entry each; the first entry is the model as it is.

    Attributes:
        power: of the weights; NaN for the model as it is.
        all: mean absolute error.
        many: of many-shot labels.
        median: of median-shot labels.
        few: of few-shot labels.
        bmae: mean over label bins.
    """

    power: list[float]
    all: list[float]
    many: list[float]
    median: list[float]
    few: list[float]
    bmae: list[float]

    def plot(self, axes: Any = None) -> Any:
        """Draw few-shot against many-shot error, a point per power; returns matplotlib's axes.

        Args:
            axes: to draw on; new ones if None.
        """
        names = [f"{power:g}" for power in self.power[1:]]
        axes = draw_tradeoff(self.many[1:], self.few[1:], names, axes)
        axes.plot(self.many[:1], self.few[:1], "s", color="black")
        axes.annotate("as it is", (self.many[0], self.few[0]), xytext=(4, 4), textcoords="offset points")
        return axes


class Rebalanced(Wrapped):
    r"""Correct predictions of any regressor that shrink towards the common labels, if held-out rows confirm it.

    $$g = \arg\min_{g \text{ monotone}} \sum_i N_{b(i)}^{-p}\, (y_i - g(\hat y_i))^2$$

    Symbols: $\hat y_i$ prediction by a model that has not seen row i, $N$ training rows per label bin, $b(i)$ bin of
    row i. Without the weights $g(\hat y)$ would be $E[y \mid \hat y]$. A weight divides the density of labels by
    $N^p$, so with $p = 1$ it is the mean of y given the prediction if labels were uniform over their bins: larger than
    the prediction if that was pulled down to the common labels. Source: ours; importance weights for a change of the
    label distribution, as for label shift (Lipton et al., ICML 2018), on the prediction instead of the inputs.

    Only corrections that held-out rows confirm are applied. For ``map="auto"`` each fold is predicted by a model that
    has not seen it, and corrected by maps that have not seen it either: they are fitted on predictions of models
    without that fold *and* the fold of the row. The map with the lowest balanced error (mean over label bins) is used
    if it gains more than its standard error; otherwise predictions do not change. Few rows mean few degrees of freedom:
    the linear map needs 20 effective rows, $(\sum w)^2 / \sum w^2$, the isotonic one 100. A row that is alone in its
    bin counts neither for maps nor for the choice: the model that predicts it has seen no label like it, but the final
    model has, so its error would suggest a correction that is too large. Beyond the predictions that a map was fitted
    on, the correction stays as large as at the nearest of them.

    Args:
        estimator: regressor or pipeline; clones of it are fitted.
        power: p, at least 0: how much rare labels count against common ones.
        map: ``"linear"``, ``"isotonic"``, ``"none"`` or ``"auto"``. With few rows even a given map falls back to the
            next simpler one: see ``kind`` of ``corrections_``.
        cv: folds, at least 3 for ``"auto"``, which fits 1 + cv (cv + 1) / 2 models (the others fit 1 + cv); or
            ``"prefit"``: the estimator is already fitted; give `fit` rows that it was not trained on.
        bins: of the labels; those of `conr.density.label_bins` if None.
        many: for `tradeoff`: a label's bin with more rows is many-shot.
        few: for `tradeoff`: a label's bin with fewer rows is few-shot.
        n_jobs: fits at the same time, as everywhere in scikit-learn.
        random_state: seed, generator or None, of the folds.

    Attributes:
        estimator_: the regressor, fitted on all rows.
        density_: `conr.LabelDensity` of the rows given to `fit`.
        corrections_: map of each target, with its ``kind``, ``places`` and ``values``.
        judged_: for ``"auto"``, for each target the candidates by name with error, gain and standard error.

    Raises:
        ValueError: from `fit`, an argument outside its range, labels that are not finite, fewer rows than folds.

    Notes:
        When it fails: if predictions say little about the label, the map moves all of them to the middle of the label
        range, and common labels pay. `tradeoff` shows how much. Each target has its own map and bins.

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import Ridge
        >>> random = np.random.default_rng(0)
        >>> y = random.gamma(1.0, 10.0, 400)
        >>> x = (y + random.normal(size=400) * 10)[:, None]
        >>> model = Rebalanced(Ridge(), random_state=0).fit(x, y)
        >>> model.corrections_[0].kind
        'isotonic'
        >>> rare = y > 30
        >>> bool(abs(model.predict(x) - y)[rare].mean() < abs(model.estimator_.predict(x) - y)[rare].mean())
        True
    """

    def __init__(
        self,
        estimator: Any,
        power: float = 0.5,
        map: str = "auto",  # noqa: A002  the word for it
        *,
        cv: int | str = 5,
        bins: Bins | None = None,
        many: int = 100,
        few: int = 20,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator, bins=bins, random_state=random_state)
        self.power = power
        self.map = map
        self.cv = cv
        self.many = many
        self.few = few
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, **params: Any) -> Self:  # noqa: N803
        """Fit the regressor and choose and fit the map.

        Args:
            X: as the regressor takes it.
            y: labels, shape (n,) or (n, k).
            **params: arguments of the regressor's `fit`; those with an entry per row are split like the rows.

        Returns:
            self.

        Raises:
            ValueError: see the class.
        """
        check_number("power", self.power, low=0)
        check_choice("map", self.map, [*MAPS, "auto"])
        labels = checked_labels(y)
        check_consistent_length(X, labels)
        columns = labels.reshape(len(labels), -1)  # (n, k)
        bins = chosen_bins(labels, self.bins)
        self.density_ = LabelDensity(many=self.many, few=self.few).fit(labels, bins)
        seed, count = drawn_seed(self.random_state), self._count()
        fold = BinnedKFold(count, bins=bins, random_state=seed).assign(labels) if count else np.zeros(len(labels), int)
        if self.cv == PREFIT:
            self.estimator_ = self.estimator
            plain = np.asarray(self.estimator_.predict(X), dtype=np.float64).reshape(columns.shape)
            without = dict.fromkeys(combinations_with_replacement(range(max(count, 1)), 2), plain)
        else:
            routed = self._routed(params)
            self.estimator_ = clone(self.estimator).fit(X, y, **routed)
            without = self._without(X, y, fold, routed)
        own_bins = [Bins(edges.tolist(), clamp=True) for edges in bins.edges]
        self._targets = [
            CrossFitted(
                {folds: found[:, target] for folds, found in without.items()},
                columns[:, target],
                fold,
                own,
                seen=self.cv == PREFIT,
            )
            for target, own in enumerate(own_bins)
        ]
        self.judged_ = [one.judged(self.power) if self.map == "auto" else {} for one in self._targets]
        self.corrections_ = []
        for judged, one in zip(self.judged_, self._targets, strict=True):
            pairs = one.pairs()
            kind = best_of(judged) if self.map == "auto" else affordable(self.map, pairs, one.bins, self.power)
            self.corrections_.append(fit_map(kind, pairs, one.bins, self.power))
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Corrected predictions, shape (n,) or (n, k), float64.

        Raises:
            NotFittedError: not fitted.
        """
        check_is_fitted(self)
        return self._corrected(self.estimator_.predict(X), self.corrections_)

    def tradeoff(self, X: Any, y: Any, *, powers: Sequence[float] = POWERS) -> Tradeoff:  # noqa: N803
        """Errors on rows that `fit` has not seen, by the power of the weights.

        The map is the one that was chosen, fitted again with each power; the linear one if none was.

        Args:
            X: as the regressor takes it.
            y: labels, shape (n,) or (n, k).
            powers: each at least 0.

        Raises:
            NotFittedError: not fitted.
            ValueError: a negative power, or labels that are not finite.
        """
        check_is_fitted(self)
        labels, plain = checked_labels(y), self.estimator_.predict(X)
        rows = [self._errors(plain, labels)]
        for power in powers:
            check_number("powers", power, low=0)
            maps = [
                fit_map("linear" if chosen.kind == "none" else chosen.kind, one.pairs(), one.bins, power)
                for chosen, one in zip(self.corrections_, self._targets, strict=True)
            ]
            rows.append(self._errors(self._corrected(plain, maps), labels))
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return Tradeoff(power=[np.nan, *powers], **columns)

    def _count(self) -> int:
        """Folds; none are needed for a map that is given beside a fitted model."""
        if isinstance(self.cv, str):
            check_choice("cv", self.cv, [PREFIT])
            return _PREFIT_FOLDS if self.map == "auto" else 0
        check_whole("cv", self.cv, low=3 if self.map == "auto" else 2)
        return self.cv

    def _without(self, rows: Any, y: Any, fold: Positions, params: Mapping[str, Any]) -> dict[tuple[int, int], Floats]:
        """Predictions (n, k) of models that have not seen one fold or two, NaN for the rows that they have seen."""
        folds = range(fold.max() + 1)
        left_out = (
            list(combinations_with_replacement(folds, 2)) if self.map == "auto" else [(one, one) for one in folds]
        )
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_predict_without)(clone(self.estimator), rows, y, np.isin(fold, held), params) for held in left_out
        )
        return dict(zip(left_out, found, strict=True))

    def _corrected(self, plain: Any, maps: Sequence[Correction]) -> Floats:
        columns = np.asarray(plain, dtype=np.float64).reshape(len(plain), -1)  # (n, k)
        found = np.stack([one(column) for one, column in zip(maps, columns.T, strict=True)], axis=1)
        return found.reshape(np.shape(plain))

    def _errors(self, predictions: Any, labels: Floats) -> dict[str, float]:
        values = np.array(predictions, dtype=np.float64).reshape(labels.shape)
        found = regression_metrics(torch.from_numpy(values), torch.from_numpy(labels), self.density_)
        errors = {group: found["mae" if group == "all" else f"mae_{group}"] for group in GROUPS}
        return errors | {"bmae": found["bmae"]}


def _predict_without(
    estimator: Any, rows: Any, y: Any, held_out: NDArray[np.bool_], params: Mapping[str, Any]
) -> Floats:
    """Predictions (n, k) of the rows held out; NaN for the others."""
    train, rest = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    estimator.fit(take(rows, train), take(y, train), **params_of(params, train, len(held_out)))
    predicted = np.asarray(estimator.predict(take(rows, rest)), dtype=np.float64).reshape(len(rest), -1)
    found = np.full((len(held_out), predicted.shape[1]), np.nan)
    found[rest] = predicted
    return found
