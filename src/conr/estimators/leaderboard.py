"""Errors of candidates on held-out rows: the leaderboard, and the frontier of many- against few-shot error."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from conr.density import GROUPS, REGIONS
from conr.density.label_density import LabelDensity
from conr.estimators.blending import JudgedRows, held_out_blend
from conr.metrics.shot import regression_metrics
from conr.rare.labels import Floats, Positions, bin_index
from conr.rare.maps import rarity
from conr.rare.tradeoff import draw_tradeoff, limit_names

BLEND = "blend"
ERRORS = (*GROUPS, "bmae")
LIMITS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, None)

OBJECTIVE_ERRORS = {"bmae": "bmae", "mae": "all", "few": "few"}


class Frontier(NamedTuple):
    """Errors of blends by the limit on the loss of many-shot labels, one entry each, on rows that did not choose.

    Attributes:
        limit: ``max_loss_on_many``; None is no limit.
        all: mean absolute error.
        many: of many-shot labels.
        median: of median-shot labels.
        few: of few-shot labels.
        bmae: mean over label bins.
        chosen: position of the limit that was asked for.
    """

    limit: list[float | None]
    all: list[float]
    many: list[float]
    median: list[float]
    few: list[float]
    bmae: list[float]
    chosen: int

    def plot(self, axes: Any = None) -> Any:
        """Draw few-shot against many-shot error, a point per limit, the chosen one full; returns matplotlib's axes.

        Args:
            axes: to draw on; new ones if None.
        """
        axes = draw_tradeoff(self.many, self.few, limit_names(self.limit), axes)
        axes.plot(self.many[self.chosen], self.few[self.chosen], "o", color=axes.lines[-1].get_color(), markersize=9)
        return axes


class Judge:
    """Rows that candidates are judged on: those that share their label bin with another row.

    Args:
        labels: of all rows, shape (n,).
        fold: of each, shape (n,).
        density: of all labels.
        objective: "bmae", "mae" or "few".

    Raises:
        ValueError: no row for the objective.
    """

    def __init__(self, labels: Floats, fold: Positions, density: LabelDensity, objective: str) -> None:
        self.labels = labels
        self.density = density
        self.objective = objective
        index = bin_index(labels, density.fitted_bins())
        supported = density.counts.numpy()[index] > 1  # (n,)
        if not supported.any():  # all labels are alone: there is nothing else to judge by
            supported = np.ones(len(labels), dtype=bool)
        region = density.regions(labels).numpy()  # (n,)
        shares = supported.astype(np.float64)
        if objective == "bmae":
            shares[supported] = rarity(labels[supported], density.fitted_bins(), 1.0)
        elif objective == "few":
            shares *= region == REGIONS.index("few")
        if not shares.any():
            raise ValueError(
                f"objective: expected labels in bins of 2 to {density.few - 1} rows for {objective!r}, got none"
            )
        self.judged = supported
        self.rows = JudgedRows(labels, fold, shares, (supported & (region == REGIONS.index("many"))).astype(np.float64))

    def errors(self, predictions: Floats) -> dict[str, float]:
        """Mean absolute errors of predictions (n,) over the judged rows, by shot region and over label bins."""
        given, labels = (torch.from_numpy(one[self.judged]) for one in (predictions, self.labels))
        found = regression_metrics(given, labels, self.density)
        return {name: found[name if name == "bmae" else "mae" if name == "all" else f"mae_{name}"] for name in ERRORS}

    def leaderboard(
        self,
        predictions: Mapping[str, tuple[Floats, float]],
        weights: Mapping[str, float],
        *,
        blend: tuple[Floats, float],
    ) -> list[dict[str, Any]]:
        """The blend, then candidates from the best to the worst; see `RareRegressor`.

        Args:
            predictions: of each candidate by name, shape (n,), with seconds.
            weights: of each in the blend.
            blend: the same of the blend.
        """
        rows: list[dict[str, Any]] = [
            {"name": name, **self.errors(held_out), "weight": weights[name], "seconds": seconds}
            for name, (held_out, seconds) in predictions.items()
        ]
        rows.sort(key=lambda row: row[OBJECTIVE_ERRORS[self.objective]])
        return [{"name": BLEND, **self.errors(blend[0]), "weight": 1.0, "seconds": blend[1]}, *rows]


def frontier(
    predictions: Floats, judge: Judge, *, plain: NDArray[np.bool_] | None = None, chosen: float | None
) -> Frontier:
    """Blends by limit, each judged on rows that did not choose it.

    Args:
        predictions: of each candidate, shape (candidates, n).
        judge: of the rows.
        plain: candidates that may start a blend, shape (candidates,); all if None.
        chosen: the limit that was asked for.
    """
    limits = sorted({*LIMITS, chosen}, key=lambda limit: np.inf if limit is None else limit)
    errors = [judge.errors(held_out_blend(predictions, judge.rows, plain=plain, max_loss=limit)) for limit in limits]
    columns = {name: [one[name] for one in errors] for name in ERRORS}
    return Frontier(limit=limits, **columns, chosen=limits.index(chosen))
