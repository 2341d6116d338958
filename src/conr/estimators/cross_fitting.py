"""Fit candidates without one fold after the other, then on all rows; within a time, until Ctrl-C."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from conr.estimators.threads import threads_for
from conr.rare.labels import Floats, Positions, take
from conr.rare.reweighted import Reweighted

_MARGIN = 1.5  # of a fit on all rows over the longest one on part of them


class FittedFold(NamedTuple):
    """A candidate without one fold.

    Attributes:
        model: fitted on the other rows.
        predictions: of the fold's rows.
        seconds: that both took.
    """

    model: Any
    predictions: Floats
    seconds: float


def fit_fold(
    estimator: Any, rows: Any, labels: Floats, held_out: Positions, *, seed: int, deadline: float
) -> FittedFold | None:
    """Fit a clone on the rows that are not held out, and predict those that are.

    Args:
        estimator: of one target.
        rows: as it takes them.
        labels: shape (n,).
        held_out: rows that it does not see.
        seed: for each ``random_state`` in it that is None.
        deadline: time, as of `time.time`, after which nothing is fitted. Each ``time_limit`` in the estimator that is
            None becomes the seconds until then, as long as it is fitted.

    Returns:
        None after the deadline.
    """
    start = time.time()
    if start > deadline:
        return None
    train = np.setdiff1d(np.arange(len(labels)), held_out)
    model = _fitted(estimator, take(rows, train), labels[train], seed=seed, deadline=deadline, table=len(labels))
    with threads_for(len(labels)):
        predictions = predict(model, take(rows, held_out))
    return FittedFold(model, predictions, time.time() - start)


def _fitted(estimator: Any, rows: Any, labels: Floats, *, seed: int, deadline: float, table: int) -> Any:
    """A fitted clone; ``table`` is the number of rows of the whole table, which settles the threads."""
    model = clone(estimator)
    model.set_params(**dict.fromkeys(_unset(model, "random_state"), seed))
    limited = _unset(model, "time_limit") if deadline < math.inf else []
    model.set_params(**dict.fromkeys(limited, max(deadline - time.time(), 0.0)))
    with threads_for(table):
        model.fit(rows, labels)
    model.set_params(**dict.fromkeys(limited))
    while isinstance(model, Reweighted):  # its predictions are those of what it has fitted
        model = model.estimator_
    return model


def _unset(model: Any, argument: str) -> list[str]:
    """Names of the arguments so called that are None, of a model and of those inside."""
    return [name for name, value in model.get_params().items() if name.split("__")[-1] == argument and value is None]


def predict(model: Any, rows: Any) -> Floats:
    """Predictions of one target, shape (n,); the caller has mentioned new categories."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*treated as none of them")
        return np.asarray(model.predict(rows), dtype=np.float64).reshape(-1)


def cross_fit(
    candidates: Mapping[str, Any],
    rows: Mapping[str, Any],
    labels: Floats,
    held_out: Sequence[Positions],
    *,
    seed: int,
    deadline: float = math.inf,
    n_jobs: int | None = None,
    report: Callable[[str], None],
) -> dict[str, list[FittedFold]]:
    """Fit each candidate without each set of rows.

    Args:
        candidates: unfitted, by name.
        rows: X as each takes it.
        labels: shape (n,).
        held_out: positions of rows, one entry per fit.
        seed: of candidates that have none.
        deadline: time, as of `time.time`, after which no fit starts, but for those of the first candidate, and networks
            end theirs.
        n_jobs: fits at the same time.
        report: called with a line per candidate, finished or left out.

    Returns:
        Of each candidate that could be finished, what was fitted, in the order of ``held_out``.

    Raises:
        KeyboardInterrupt: before the first candidate was finished; later ones keep what there is.
    """
    first = next(iter(candidates))
    tasks = [(name, number) for name in candidates for number in range(len(held_out))]
    calls = (
        delayed(fit_fold)(
            candidates[name],
            rows[name],
            labels,
            held_out[number],
            seed=(seed + number) % 2**31,
            deadline=math.inf if name == first else deadline,
        )
        for name, number in tasks
    )
    done: dict[str, list[FittedFold]] = {name: [] for name in candidates}
    try:
        for (name, _), found in zip(tasks, Parallel(n_jobs=n_jobs, return_as="generator")(calls), strict=True):
            if found is not None:
                done[name].append(found)
                if len(done[name]) == len(held_out):
                    seconds = sum(one.seconds for one in done[name])
                    report(f"{list(candidates).index(name) + 1} of {len(candidates)}, {name}: {seconds:.1f} s")
    except KeyboardInterrupt:
        if len(done[first]) < len(held_out):
            raise
        report("stopped: continuing with the finished candidates")
    complete = {name: found for name, found in done.items() if len(found) == len(held_out)}
    for position, name in enumerate(candidates, start=1):
        if name not in complete:
            report(f"{position} of {len(candidates)}, {name}: left out, it was not finished in time")
    return complete


def fit_all_rows(
    candidates: Mapping[str, Any],
    rows: Mapping[str, Any],
    labels: Floats,
    fitted: Mapping[str, list[FittedFold]],
    *,
    seed: int,
    deadline: float = math.inf,
    n_jobs: int | None = None,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Models that have seen all rows, by name of the candidate; without those that the time left is too short for.

    Args:
        candidates: unfitted, by name.
        rows: X as each takes it.
        labels: shape (n,).
        fitted: models of the folds of the candidates that are wanted, for the time that they took.
        seed: of candidates that have none.
        deadline: time, as of `time.time`.
        n_jobs: fits at the same time.
        report: called with a line after Ctrl-C, which ends the fits and keeps what is finished.
    """
    calls = (
        delayed(_fitted_in_time)(
            candidates[name],
            rows[name],
            labels,
            seconds=_MARGIN * max(one.seconds for one in folds),
            seed=seed,
            deadline=deadline,
        )
        for name, folds in fitted.items()
    )
    found: dict[str, Any] = {}
    try:
        found.update(zip(fitted, Parallel(n_jobs=n_jobs, return_as="generator")(calls), strict=True))  # one by one
    except KeyboardInterrupt:
        report("stopped: models of the folds predict alone")
    return {name: model for name, model in found.items() if model is not None}


def _fitted_in_time(
    estimator: Any, rows: Any, labels: Floats, *, seconds: float, seed: int, deadline: float
) -> Any | None:
    if time.time() + seconds > deadline:
        return None
    return _fitted(estimator, rows, labels, seed=seed, deadline=math.inf, table=len(labels))
