"""Candidates of `RareRegressor`: what is fitted, and how its predictions are corrected."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from conr.density.bins import Bins
from conr.estimators.encoded import EncodedRegressor
from conr.estimators.regressor import ConRRegressor
from conr.estimators.rows import TableInput
from conr.rare.labels import Floats, Positions
from conr.rare.maps import Correction, Pairs, candidates, fit_map
from conr.rare.reweighted import Reweighted
from conr.rare.wrapped import Wrapped

POWERS = {"": 0.0, "+sqinv": 0.5, "+inv": 1.0}
"""Powers of weights by the ending of a candidate's or a map's name."""

_SCHEMES = {"": "none", "+sqinv": "sqrt_inverse", "+inv": "inverse"}
_ROUNDS = 200
_BINS = 127  # of a column


def default_candidates(*, networks: bool = True) -> dict[str, Any]:
    """The candidates of `RareRegressor`, to which one's own can be added.

    Args:
        networks: whether to have `ConRRegressor` beside boosting with three weights. It trains to the end: a validation
            part would take rare rows from the fit, and folds judge the result anyway.

    Returns:
        Unfitted estimators by name: "hgb", "hgb+sqinv", "hgb+inv", and the network "sqinv".
    """
    boosting = EncodedRegressor(
        HistGradientBoostingRegressor(max_iter=_ROUNDS, max_bins=_BINS, early_stopping=False), most_values=_BINS
    )
    found: dict[str, Any] = {f"hgb{ending}": Reweighted(boosting, scheme) for ending, scheme in _SCHEMES.items()}
    if networks:
        found["sqinv"] = ConRRegressor("sqinv", early_stopping=False)
    return found


def reads_tables(estimator: Any) -> bool:
    """Tell if an estimator, or the one inside of a part of `conr.rare`, takes the `Columns` of a table."""
    while isinstance(estimator, Wrapped):
        estimator = estimator.estimator
    return isinstance(estimator, TableInput)


class Corrected(NamedTuple):
    """Cross-fitted predictions after a map.

    Attributes:
        held_out: shape (n,): each fold corrected by a map that has not seen it.
        correction: the map of all rows, for new ones.
    """

    held_out: Floats
    correction: Correction


def corrected(pairs: Pairs, fold: Positions, bins: Bins) -> dict[str, Corrected]:
    """Predictions as they are, and after each map that the number of rows allows.

    Args:
        pairs: cross-fitted predictions (n,).
        fold: of each row, shape (n,).
        bins: of the labels.

    Returns:
        By the ending of the candidate's name: "", ">linear", ">linear+sqinv", ..., ">isotonic+inv".
    """
    found = {"": Corrected(pairs.predictions, fit_map("none", pairs, bins, 0.0))}
    for ending, power in POWERS.items():
        for kind in candidates(pairs, bins, power)[1:]:
            held_out = np.empty(len(fold))
            for own in (fold == one for one in np.unique(fold)):
                held_out[own] = fit_map(kind, pairs.some(~own), bins, power)(pairs.predictions[own])
            found[f">{kind}{ending}"] = Corrected(held_out, fit_map(kind, pairs, bins, power))
    return found
