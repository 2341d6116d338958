"""A search as pictures: the score over trials, and over each setting."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from conr.bench.ablation import FACTORS
from conr.bench.tuning import Trial, Tuning, best_trial
from conr.bench.tuning_space import Choices, preset_point
from conr.report.style import HEIGHT, INK_ON_WHITE, WIDTH, count_whole, drawing, label_colors, name_powers, save_picture

HISTORY, SETTINGS = "history.png", "settings.png"

_POINT, _BEST, _PRESET = "#1f83cb", "#d55e00", "#878d97"
_FEWEST_FOR_IMPORTANCE = 10
_FAR = 4  # so many times the median's distance from the best one; what is worse would flatten all others


def draw_tuning(tuning: Tuning, trials: Sequence[Trial]) -> list[Path]:
    """Draw ``history.png``, the score of each trial, and ``settings.png``, the score over each setting.

    Args:
        tuning: what was searched.
        trials: its trials.

    Returns:
        Both files.

    Raises:
        ValueError: no trial is complete.
        OSError: a file cannot be written.
    """
    best = best_trial(list(trials))
    scored = [trial for trial in trials if trial.score is not None]
    own = preset_point(tuning.dataset, tuning.method, tuning.space)
    preset = next((trial for trial in scored if trial.values == own), None)
    title = f"{tuning.method} on {tuning.dataset.name}: validation"
    metric = tuning.metric.removeprefix("val/")
    top = _top(scored)
    far = "; triangles lie above" if top < max(map(_score, scored)) else ""
    with drawing(INK_ON_WHITE):
        figure = Figure(figsize=(1.4 * WIDTH, HEIGHT), layout="constrained", facecolor="white")
        _draw_history(figure.subplots(), scored, best, preset)
        figure.axes[0].set(xlabel="trial", ylabel=metric, title=f"{title}{far}")
        save_picture(figure, tuning.folder / HISTORY, dpi=160)

        names = list(tuning.space)
        columns = min(2, len(names))
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(WIDTH * columns, 0.9 * HEIGHT * rows), layout="constrained", facecolor="white")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        importance = importances(tuning, scored)
        for axes, name in zip(panels, names, strict=False):
            _draw_setting(axes, tuning, name, scored, best)
            part = f" ({importance[name]:.0%} of the variation)" if name in importance else ""
            axes.set(xlabel=(FACTORS[name].title if name in FACTORS else name) + part)
        for row in range(rows):
            panels[row * columns].set_ylabel(metric)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        figure.suptitle(f"{title}; later trials are lighter, the best has a ring{far}", fontsize=11)
        save_picture(figure, tuning.folder / SETTINGS, dpi=160)
    return [tuning.folder / HISTORY, tuning.folder / SETTINGS]


def importances(tuning: Tuning, scored: Sequence[Trial]) -> dict[str, float]:
    """Share of the score's variation that each setting explains, by functional ANOVA on trees (Hutter et al., 2014).

    Empty with fewer than ten trials, or where all scores are equal.

    Args:
        tuning: what was searched.
        scored: its complete trials.
    """
    import optuna  # noqa: PLC0415  an extra that only this needs

    if len(scored) < _FEWEST_FOR_IMPORTANCE or len({trial.score for trial in scored}) == 1:
        return {}
    study: Any = optuna.create_study()
    for trial in scored:
        distributions: Any = {
            name: (
                optuna.distributions.CategoricalDistribution(list(part.values))
                if isinstance(part, Choices)
                else optuna.distributions.FloatDistribution(part.low, part.high, log=True)
            )
            for name, part in tuning.space.items()
        }
        study.add_trial(
            optuna.trial.create_trial(params=dict(trial.values), distributions=distributions, value=trial.score)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: dict[str, float] = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _draw_history(axes: Axes, scored: Sequence[Trial], best: Trial, preset: Trial | None) -> None:
    top = _top(scored)
    numbers = [trial.number for trial in scored]
    scores = [_score(trial) for trial in scored]
    axes.step(numbers, np.minimum.accumulate(scores), where="post", color=_BEST, linewidth=1.6, label="best so far")
    near = [number for number, score in zip(numbers, scores, strict=True) if score <= top]
    axes.plot(near, [score for score in scores if score <= top], "o", color=_POINT, markersize=4, label="trial")
    far = [number for number, score in zip(numbers, scores, strict=True) if score > top]
    axes.plot(far, [top] * len(far), "^", color=_POINT, markersize=6, markerfacecolor="none")
    if preset is not None and _score(preset) <= top:
        axes.axhline(_score(preset), color=_PRESET, linewidth=1.2, linestyle="--", label="preset")
    axes.plot([best.number], [_score(best)], "o", color=_BEST, markersize=9, markerfacecolor="none")
    count_whole(axes.xaxis)
    _limit(axes, scores, top)
    axes.legend(loc="upper right")


def _draw_setting(axes: Axes, tuning: Tuning, name: str, scored: Sequence[Trial], best: Trial) -> None:
    top = _top(scored)
    part = tuning.space[name]
    values: list[float]
    if isinstance(part, Choices):
        values = [float(part.values.index(trial.values[name])) for trial in scored]
        axes.set_xticks(range(len(part.values)), [str(value) for value in part.values])
        axes.set_xlim(-0.5, len(part.values) - 0.5)
    else:
        values = [float(trial.values[name]) for trial in scored]
        axes.set_xscale("log")
        name_powers(axes.xaxis)
        edge = (part.high / part.low) ** 0.03
        axes.set_xlim(part.low / edge, part.high * edge)
    scores = [_score(trial) for trial in scored]
    last = max(trial.number for trial in scored)
    for marker, is_far in (("o", False), ("^", True)):
        chosen = [place for place, score in enumerate(scores) if (score > top) is is_far]
        axes.scatter(
            [values[place] for place in chosen],
            [min(scores[place], top) for place in chosen],
            c=[scored[place].number for place in chosen],
            cmap=label_colors(),
            vmin=0,
            vmax=last,
            marker=marker,
            s=20,
            linewidths=0,
        )
    place = [trial.number for trial in scored].index(best.number)
    axes.plot([values[place]], [scores[place]], "o", color=_BEST, markersize=10, markerfacecolor="none")
    _limit(axes, scores, top)


def _top(scored: Sequence[Trial]) -> float:
    scores = np.asarray([_score(trial) for trial in scored])
    low, middle, high = scores.min(), float(np.median(scores)), scores.max()
    limit = low + _FAR * (middle - low)
    return float(limit if low < limit < high else high)


def _limit(axes: Axes, scores: Sequence[float], top: float) -> None:
    room = 0.06 * (top - min(scores))
    if room > 0:
        axes.set_ylim(min(scores) - room, top + room)


def _score(trial: Trial) -> float:
    return math.nan if trial.score is None else trial.score
