"""Fit candidates without one fold after the other, within a time, until Ctrl-C."""

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
    model = clone(estimator)
    model.set_params(**dict.fromkeys(_unset(model, "random_state"), seed))
    limited = _unset(model, "time_limit") if deadline < math.inf else []
    model.set_params(**dict.fromkeys(limited, max(deadline - start, 0.0)))
    train = np.setdiff1d(np.arange(len(labels)), held_out)
    with threads_for(len(labels)):
        model.fit(take(rows, train), labels[train])
        model.set_params(**dict.fromkeys(limited))
        while isinstance(model, Reweighted):  # its predictions are those of what it has fitted
            model = model.estimator_
        return FittedFold(model, predict(model, take(rows, held_out)), time.time() - start)


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
    time_limit: float | None = None,
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
        time_limit: seconds after which no fit starts, but for those of the first candidate, and networks end theirs.
        n_jobs: fits at the same time.
        report: called with a line per finished candidate.

    Returns:
        Of each candidate that could be finished, what was fitted, in the order of ``held_out``.

    Raises:
        KeyboardInterrupt: before the first candidate was finished; later ones keep what there is.
    """
    start, first = time.time(), next(iter(candidates))
    limit = math.inf if time_limit is None else start + time_limit
    tasks = [(name, number) for name in candidates for number in range(len(held_out))]
    calls = (
        delayed(fit_fold)(
            candidates[name],
            rows[name],
            labels,
            held_out[number],
            seed=(seed + number) % 2**31,
            deadline=math.inf if name == first else limit,
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
    return {name: found for name, found in done.items() if len(found) == len(held_out)}
