"""`RareRegressor`: one call that finds the best model for rare labels."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import check_consistent_length, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from conr._checks import check_choice, check_number, check_whole
from conr.density.bins import Bins
from conr.density.label_density import LabelDensity
from conr.estimators.blending import blend, held_out_blend
from conr.estimators.candidates import corrected, default_candidates, reads_tables
from conr.estimators.cross_fitting import FittedFold, cross_fit, fit_all_rows, predict
from conr.estimators.leaderboard import BLEND, Judge, frontier
from conr.estimators.rare_storage import ALL_ROWS, BlendPart, load_rare, save_rare
from conr.estimators.rows import TableInput, errors_by_region
from conr.estimators.support import known_arguments
from conr.estimators.threads import threads_for
from conr.rare.conformal import LabelSets, joined_bins, rows_for
from conr.rare.folds import BinnedKFold
from conr.rare.labels import Floats, Positions, bin_index, chosen_bins, drawn_seed, one_target
from conr.rare.maps import Pairs
from conr.tables.columns import Columns
from conr.tables.encoding import Encoding

OBJECTIVES = ("bmae", "mae", "few")
WORDS = ("auto", "boosting")

_REPEATS = ((500, 3), (1000, 2))
"""Times that small tables are cut into folds, by the number of rows below which it is so."""


class RareRegressor(RegressorMixin, TableInput):  # type: ignore[misc]
    r"""Boosting and networks with rarity weights, corrected if that helps, and blended: one call for a table.

    Each candidate is fitted once per fold (`conr.rare.BinnedKFold`) on the other folds, and predicts the fold that it
    has not seen. Its predictions compete uncorrected, and corrected by a linear and an isotonic map with three powers
    of rarity weights (`conr.rare.Rebalanced` has the derivation), each fold by a map that has not seen it. Greedy
    selection chooses a blend of all of these: first the best uncorrected one, then what lowers the error in its place
    or beside it, as long as the gain on rows that did not choose exceeds its standard error. The candidates in the
    blend are then fitted on all rows as well. New rows are predicted half by these models, which have seen every rare
    label, and half by the mean of the folds' models.

    A row that is alone in its label bin takes no part in the choice: the models that predict it have seen no label
    like it, but the models for new rows have.

    Args:
        candidates: "auto" (boosting and networks), "boosting", or estimators by name, such as those of
            `default_candidates` with some added. A pipeline gets the rows given to `fit`; boosting and networks read
            tables.
        objective: the error that the blend lowers: "bmae" (mean over label bins of the mean absolute error), "mae", or
            "few" (of few-shot rows).
        max_loss_on_many: how much the mean absolute error of many-shot rows may exceed that of the candidate that is
            best there, as a share: 0.1 is 10 %. The excess plus its standard error on held-out rows stays below it. No
            limit if None.
        cv: folds, at least 3. Tables below 1000 rows are cut twice, those below 500 three times.
        categorical: numeric columns to treat as categories, by name or position. Texts and categorical dtypes always
            are.
        bins: of the labels; those of `conr.density.label_bins` if None.
        many: a label's bin with more rows is many-shot.
        few: a label's bin with fewer rows is few-shot.
        time_limit: seconds after which no further fit starts and the training of a network ends; the candidates
            finished by then are blended. The first candidate always finishes its folds.
        n_jobs: fits at the same time, as everywhere in scikit-learn.
        random_state: seed, generator or None, of the folds and of each candidate that has none.
        verbose: 1 prints a line per finished candidate.

    Attributes:
        leaderboard_: the blend, then candidates from the best to the worst, each a dict with ``name``; the errors
            ``all``, ``many``, ``median``, ``few`` and ``bmae`` on held-out rows, for the blend on rows that did not
            choose it; ``weight`` in the blend; and ``seconds``.
        tradeoff_: the `Frontier` of many-shot against few-shot error by ``max_loss_on_many``; ``plot()`` draws it.
        estimators_: fitted models of the candidates in the blend, by name: of NAME one per fold, and of NAME>all the
            one of all rows, unless `time_limit` or Ctrl-C left no time for it.
        blend_: its parts, with ``candidate``, ``correction`` and ``weight``.
        unfinished_: names of candidates that the time limit or Ctrl-C left out.
        density_: `conr.LabelDensity` of the labels.
        bins_: of the labels.
        encoding_: how the columns were read; None if no candidate reads tables.
        held_out_: predictions of the rows given to `fit` by blends that have not seen their fold.
        labels_: of these rows.

    Raises:
        TypeError: an unknown argument; the message names the nearest one.
        ValueError: from `fit`, an argument outside its range, several targets, labels that are not finite, fewer rows
            than folds, no row for the objective, or what a candidate raises.

    Notes:
        Ctrl-C ends the fit with the finished candidates; if none is finished, it interrupts as usual. The map of a fold
        is fitted on predictions by models that have seen that fold, so the blend's own errors are measured once more,
        without the fold that they are measured on. When it fails: if new rows come from elsewhere, or if each rare bin
        has one row, so that no choice can be checked there.

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import Ridge
        >>> from sklearn.neighbors import KNeighborsRegressor
        >>> random = np.random.default_rng(0)
        >>> y = random.gamma(1.0, 10.0, 400)
        >>> x = (y + random.normal(size=400) * 10)[:, None]
        >>> mine = {"line": Ridge(), "neighbours": KNeighborsRegressor()}
        >>> model = RareRegressor(mine, random_state=0).fit(x, y)
        >>> [row["name"] for row in model.leaderboard_][0], model.predict(x[:3]).shape
        ('blend', (3,))
        >>> model.predict_interval(x[:3], coverage=0.9).shape
        (3, 2)
    """

    preprocess = True
    new_categories = "ignore"

    @known_arguments
    def __init__(
        self,
        candidates: str | Mapping[str, Any] = "auto",
        objective: str = "bmae",
        *,
        max_loss_on_many: float | None = None,
        cv: int = 5,
        categorical: Sequence[int | str] | None = None,
        bins: Bins | None = None,
        many: int = 100,
        few: int = 20,
        time_limit: float | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.candidates = candidates
        self.objective = objective
        self.max_loss_on_many = max_loss_on_many
        self.cv = cv
        self.categorical = categorical
        self.bins = bins
        self.many = many
        self.few = few
        self.time_limit = time_limit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Fit the candidates, and choose among them.

        Args:
            X: shape (n, columns): a DataFrame, a matrix, or the `conr.tables.columns.Columns` of a file; whatever the
                candidates take if none of them reads tables.
            y: labels, shape (n,).

        Returns:
            self.

        Raises:
            ValueError: see the class.
            KeyboardInterrupt: before the first candidate was finished.
        """
        deadline = math.inf if self.time_limit is None else time.time() + self.time_limit
        self._check_settings()
        labels = one_target(y, type(self).__name__)
        candidates = self._candidates()
        columns = self._read(X, reset=True)
        check_consistent_length(X, labels)
        self.bins_ = chosen_bins(labels, self.bins)
        self.density_ = LabelDensity(many=self.many, few=self.few).fit(labels, self.bins_)
        seed = drawn_seed(self.random_state)
        repeats = next((times for most, times in _REPEATS if len(labels) < most), 1)
        folds = [
            BinnedKFold(self.cv, bins=self.bins_, random_state=(seed + one) % 2**31).assign(labels)
            for one in range(repeats)
        ]
        judge = Judge(labels, folds[0], self.density_, self.objective)
        rows = {name: columns if reads_tables(one) else X for name, one in candidates.items()}
        how: dict[str, Any] = {"seed": seed, "deadline": deadline, "n_jobs": self.n_jobs, "report": self._report}
        held_out = [np.flatnonzero(fold == one) for fold in folds for one in range(self.cv)]
        fitted = cross_fit(candidates, rows, labels, held_out, **how)
        self.n_outputs_ = 1
        self.unfinished_ = [name for name in candidates if name not in fitted]
        self._choose(fitted, folds, judge)
        inside = {name: found for name, found in fitted.items() if name in self.estimators_}
        self._add_models_of_all_rows(fit_all_rows(candidates, rows, labels, inside, **how))
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Predictions of the blend, shape (n,), float64.

        Raises:
            NotFittedError: before `fit`.
            ValueError: other columns than those of the training table.
        """
        check_is_fitted(self)
        columns = self._read(X, reset=False)
        with threads_for(len(self.labels_) if columns is None else len(columns.rows)):
            plain = {
                name: np.mean([predict(model, columns if reads_tables(model) else X) for model in models], axis=0)
                for name, models in self.estimators_.items()
            }
        found: Floats = np.sum([part.weight * part.correction(plain[part.candidate]) for part in self.blend_], axis=0)
        return found

    def predict_interval(self, X: Any, *, coverage: float = 0.9) -> Floats:  # noqa: N803
        """Intervals whose coverage should hold in every group of labels, shape (n, 2); see `conr.rare.RareIntervals`.

        Their quantiles are those of the errors on held-out rows.

        Args:
            X: as of `fit`.
            coverage: above 0 and below 1.

        Raises:
            NotFittedError: before `fit`.
            ValueError: a coverage that is no such number, or needs more rows than `fit` had; other columns.
        """
        return self.label_sets(coverage).intervals(self.predict(X))

    def label_sets(self, coverage: float = 0.9) -> LabelSets:
        """The maker of intervals from predictions that are there already.

        Args:
            coverage: as of `predict_interval`.

        Returns:
            A `conr.rare.conformal.LabelSets`, with ``intervals(predictions)``.

        Raises:
            NotFittedError, ValueError: as `predict_interval`.
        """
        check_is_fitted(self)
        groups = joined_bins(self.bins_, self.density_.counts.numpy(), rows_for(coverage))
        return LabelSets.calibrated(np.abs(self.held_out_ - self.labels_), self.labels_, groups, coverage)

    def evaluate(self, X: Any, y: Any) -> dict[str, dict[str, float]]:  # noqa: N803
        """Metrics over all rows and per shot region; see `ConRRegressor.evaluate`.

        Raises:
            NotFittedError, ValueError: as `predict`; several targets, or labels that are not finite.
        """
        predictions, labels = self.predict(X), one_target(y, type(self).__name__)
        return errors_by_region(torch.from_numpy(predictions), torch.from_numpy(labels), self.density_)

    def evaluate_intervals(self, X: Any, y: Any, *, coverage: float = 0.9) -> dict[str, dict[str, float]]:  # noqa: N803
        """Coverage and width of `predict_interval`, of all rows and by shot region; see `RareIntervals.evaluate`.

        Raises:
            NotFittedError, ValueError: as `predict_interval`; several targets, or labels that are not finite.
        """
        sets, labels = self.label_sets(coverage), one_target(y, type(self).__name__)
        return sets.evaluate(self.predict(X), labels, self.density_)

    def save(self, path: str | Path) -> Path:
        """Save the model into a folder; `load` reads it without running anything in it.

        Networks and arrays are written as JSON and safetensors, other models with skops, which stores scikit-learn's
        own classes, and of other packages what it can.

        Args:
            path: the folder; made if it is not there.

        Returns:
            The folder.

        Raises:
            NotFittedError: before `fit`.
            ImportError: no skops, and a model that needs it.
            TypeError: a model that skops cannot store: pickle or joblib can, for files that you trust.
            OSError: it cannot be written.
        """
        check_is_fitted(self)
        return save_rare(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, *, trusted: Sequence[str] = ()) -> Self:
        """The model that `save` left in a folder.

        Args:
            path: the folder.
            trusted: names of classes of other packages that may be made, as ``"lightgbm.sklearn.LGBMRegressor"``;
                scikit-learn's and ours are.

        Raises:
            FileNotFoundError: no such folder, or a file is missing.
            ImportError: no skops, and a model that needs it.
            ValueError: a file that is truncated, changed or no model, or that holds a class that is not trusted.
        """
        model: Self = load_rare(cls, Path(path), trusted=trusted)
        return model

    def _check_settings(self) -> None:
        check_choice("objective", self.objective, OBJECTIVES)
        check_whole("cv", self.cv, low=3)
        LabelDensity(many=self.many, few=self.few)  # checks both
        if self.bins is not None and not isinstance(self.bins, Bins):
            raise TypeError(f"bins: expected Bins or None, got {self.bins!r:.80}")
        if self.n_jobs is not None:
            check_number("n_jobs", self.n_jobs)
            if self.n_jobs == 0 or not isinstance(self.n_jobs, int):
                raise ValueError(f"n_jobs: expected a whole number that is not 0, got {self.n_jobs}")
        for name in ("max_loss_on_many", "time_limit"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0)
        found = self._candidates()
        wrong = [name for name in found if not isinstance(name, str) or ">" in name or name == BLEND]
        if wrong or not found:
            raise ValueError(
                f"candidates: expected estimators by name, without '>' in names and none called {BLEND!r}, got "
                f"{wrong or found!r:.80}"
            )

    def _candidates(self) -> dict[str, Any]:
        if isinstance(self.candidates, Mapping):
            return dict(self.candidates)
        check_choice("candidates", self.candidates, WORDS)
        return default_candidates(networks=self.candidates == "auto")

    def _read(self, X: Any, *, reset: bool) -> Columns | None:  # noqa: N803
        """The table for candidates that read tables; None if there is none."""
        if reset:
            self.encoding_ = None
            if not any(map(reads_tables, self._candidates().values())):
                validate_data(self, X, skip_check_array=True)
                return None
            columns = self._columns(X, reset=True)
            self.encoding_ = Encoding(scaling="none", categories="ordinal").fit(columns)
            return columns
        if self.encoding_ is None:  # the models look themselves
            return None
        columns = self._columns(X, reset=False)
        self._mention_unknown(columns)
        return columns

    def _choose(self, fitted: Mapping[str, list[FittedFold]], folds: Sequence[Positions], judge: Judge) -> None:
        """Choose the blend and say how good everything is on rows that models, maps and choice have not seen."""
        labels, fold = judge.labels, folds[0]
        counts = self.density_.counts.numpy()[bin_index(labels, self.bins_)]  # (n,)
        versions, seconds = {}, {}
        for name, found in fitted.items():
            predictions = np.empty((len(folds), len(labels)))
            for number, one in enumerate(found):
                repeat, own = divmod(number, self.cv)
                predictions[repeat, folds[repeat] == own] = one.predictions
            pairs = Pairs(predictions.mean(axis=0), labels, counts > 1)
            for ending, version in corrected(pairs, fold, self.bins_).items():
                versions[f"{name}{ending}"] = (name, version)
            seconds[name] = sum(one.seconds for one in found)
        stacked = np.stack([version.held_out for _, version in versions.values()])  # (versions, n)
        plain = np.array([name in fitted for name in versions])  # a correction must prove itself
        weights = blend(stacked, judge.rows, plain=plain, max_loss=self.max_loss_on_many)
        self.blend_ = [
            BlendPart(name, version.correction, float(weight))
            for (name, version), weight in zip(versions.values(), weights, strict=True)
            if weight > 0
        ]
        self.estimators_ = {
            name: [one.model for one in found]
            for name, found in fitted.items()
            if any(part.candidate == name for part in self.blend_)
        }
        self.labels_ = labels
        self.held_out_ = held_out_blend(stacked, judge.rows, plain=plain, max_loss=self.max_loss_on_many)
        self.leaderboard_ = judge.leaderboard(
            {name: (version.held_out, seconds[base]) for name, (base, version) in versions.items()},
            dict(zip(versions, weights.tolist(), strict=True)),
            blend=(self.held_out_, sum(seconds.values())),
        )
        self.tradeoff_ = frontier(stacked, judge, plain=plain, chosen=self.max_loss_on_many)
        inside = (f"{row['name']} {row['weight']:.2f}" for row in self.leaderboard_[1:] if row["weight"])
        self._report(f"blend: {', '.join(inside)}")

    def _add_models_of_all_rows(self, models: Mapping[str, Any]) -> None:
        """Give them half of the weight of their candidate, and leave the other half to the models of the folds."""
        self.estimators_ |= {f"{name}{ALL_ROWS}": [model] for name, model in models.items()}
        halves = []
        for part in self.blend_:
            names = [part.candidate]
            if part.candidate in models:
                names.append(f"{part.candidate}{ALL_ROWS}")
            halves += [BlendPart(name, part.correction, part.weight / len(names)) for name in names]
        self.blend_ = halves

    def _report(self, line: str) -> None:
        if self.verbose:
            print(line, flush=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = [get_tags(one) for one in self._candidates().values()]
        tags.input_tags.allow_nan = all(one.input_tags.allow_nan for one in inner)
        tags.input_tags.categorical = all(one.input_tags.categorical for one in inner)
        tags.input_tags.sparse = all(one.input_tags.sparse for one in inner)
        tags.regressor_tags.poor_score = any(
            one.regressor_tags is not None and one.regressor_tags.poor_score for one in inner
        )
        return tags
