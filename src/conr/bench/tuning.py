"""Search for the settings of ConR on the validation split, with Optuna: resumable, within a budget."""

import json
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from conr._checks import check_number
from conr._extras import require
from conr.bench.datasets import GridDataset
from conr.bench.factors import (
    Choices,
    Space,
    Value,
    check_space,
    config_with_conr,
    point_tasks,
    preset_point,
    space_content,
)
from conr.bench.grid import record_failure, train_task
from conr.bench.tasks import Task, task_epochs
from conr.report.style import save_picture
from conr.runs.atomic import write_text
from conr.runs.folder import LAST_CHECKPOINT, read_config
from conr.runs.history import read_history
from conr.runs.yaml_text import yaml_text
from conr.training.options import Output

STUDY = "study.db"
NUMBERS = "tuning.json"
BEST = "best.yaml"
HISTORY, SETTINGS, IMPORTANCES = "history.png", "settings.png", "importances.png"
SCHEMA = "conr.tuned/1"

_DATABASE = ("sqlalchemy", "alembic", "sqlite3", "optuna")
_FEWEST_FOR_IMPORTANCE = 10
_RANDOM = 8  # points before the sampler learns from earlier ones

Report = Callable[[int, int, int], None]
"""Called with the number of a trial, how many epochs of its runs have ended, and how many it has."""


class Trial(NamedTuple):
    """One point of the space."""

    number: int  # from 0
    values: dict[str, Value]  # by name
    score: float | None  # mean over seeds of the lowest validation metric of a run; None if it has none
    state: str  # "complete", "pruned" after a seed that was worse than most, or "failed"


@dataclass(frozen=True)
class Tuning:
    """A search."""

    dataset: GridDataset  # where
    method: str  # with ConR
    metric: str  # the validation metric whose lowest value over epochs counts, "val/mae"
    seeds: int  # runs per point
    space: Space  # what is searched
    options: Mapping[str, Any]  # settings of all runs, by name
    root: Path  # folder of all runs; the search is kept in ROOT/tuning/DATASET/METHOD

    @property
    def folder(self) -> Path:
        """Folder of study, numbers, pictures and the chosen configuration."""
        return self.root / "tuning" / self.tasks({}, 0)[0].title / self.method

    def tasks(self, point: Mapping[str, Value], number: int) -> list[Task]:
        """The runs of a point, with the settings of all."""
        shared = (*self.options.items(), ("output.monitor", self.metric))
        return [
            replace(task, options=(*shared, *task.options))
            for task in point_tasks(self.dataset, self.method, point, number, self.seeds)
        ]

    def run_folder(self, task: Task) -> Path:
        """The folder of a run."""
        return self.root / task.title / task.name / f"seed-{task.seed}"

    def question(self) -> dict[str, Any]:
        """Choices that must be the same for a search to go on."""
        return {
            "dataset": self.dataset.name,
            "options": {key: str(value) for key, value in (*self.dataset.options, *self.options.items())},
            "method": self.method,
            "metric": self.metric,
            "seeds": self.seeds,
            "space": space_content(self.space),
        }


def default_metric(dataset: GridDataset, method: str) -> str:
    """The validation metric by which the preset chooses its best epoch.

    Raises:
        ValueError: an unknown method, or one without ConR.
    """
    output: dict[str, str] = config_with_conr(dataset, method).get("output", {})
    return output.get("monitor", Output.monitor)


def tune(
    tuning: Tuning, *, trials: int = 20, minutes: float | None = None, report: Report | None = None
) -> list[Trial]:
    """Search until the budget is spent; what an earlier call has done counts.

    The first point is the preset's own, if the space holds it; the next are random, and after some the tree-structured
    Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011) proposes them. With
    several seeds, a point that is worse than the median after a seed gets no more. A search that was killed goes on
    with the run that it was in. Runs are trained and validated; the test split is not evaluated. Checkpoints of points
    that are not the best are removed.

    Args:
        tuning: what is searched.
        trials: points in all, failed ones among them.
        minutes: no new point is begun after so many minutes of this call; None is without limit.
        report: told of the progress of each point.

    Returns:
        All trials so far.

    Raises:
        OSError: the study cannot be written, as on a full disk.
        ValueError: a budget that is none, a space or metric that cannot be used, another search in the folder, a file
            in its place that is none, or no point that could be trained; the message then has the first error.
        ImportError: Optuna is not installed.
    """
    check_number("trials", trials, low=1)
    if minutes is not None:
        check_number("minutes", minutes, low=0, open_low=True)
    check_number("seeds", tuning.seeds, low=1)
    check_space(tuning.dataset, tuning.method, tuning.space)
    with _naming_the_study(tuning.folder / STUDY):
        study = _open_study(tuning)
        begun = time.monotonic()
        for trial in _unfinished(study):
            _run_trial(tuning, study, trial, report)
        while (number := _begun(study)) < trials and (minutes is None or time.monotonic() - begun < 60 * minutes):
            study.sampler = _sampler(number)
            _run_trial(tuning, study, study.ask(), report)
            _check_some_work(tuning, study, at_least=min(2, trials))
        return read_trials(study)


def read_trials(study: Any) -> list[Trial]:
    """The finished trials of a study."""
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    return [
        Trial(one.number, dict(one.params), one.value if one.state.name == "COMPLETE" else None, names[one.state.name])
        for one in study.trials
        if one.state.name in names
    ]


def best_trial(trials: list[Trial]) -> Trial:
    """The trial with the lowest score; the first of equal ones.

    Raises:
        ValueError: none is complete.
    """
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        raise ValueError("trials: expected a complete one, got none")
    return min(scored, key=lambda trial: (trial.score, trial.number))


def write_tuning(tuning: Tuning, trials: list[Trial]) -> list[Path]:
    """Write ``best.yaml``, a configuration for ``conr fit``, and ``tuning.json`` with all trials.

    Returns:
        Both files.

    Raises:
        ValueError: no trial is complete.
        OSError: a file cannot be written.
    """
    best = best_trial(trials)
    (task, *_) = tuning.tasks(best.values, best.number)
    config = read_config(tuning.run_folder(task))
    config["output"] |= {"method": f"{task.method},tuned", "root": Output.root}
    content = {
        "schema": SCHEMA,
        **tuning.question(),
        "best": best._asdict(),
        "preset": preset_point(tuning.dataset, tuning.method, tuning.space),
        "trials": [trial._asdict() for trial in trials],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    head = f"# Chosen by the lowest mean {tuning.metric} over {tuning.seeds} seeds among {len(trials)} points.\n"
    configuration = head + yaml_text(config)
    return [write_text(tuning.folder / BEST, configuration), write_text(tuning.folder / NUMBERS, f"{text}\n")]


def draw_tuning(tuning: Tuning) -> list[Path]:
    """Draw the search with Optuna: the score over trials and over each setting, and how much each setting matters.

    Returns:
        ``history.png``, ``settings.png`` and, from ten complete trials on, ``importances.png``.

    Raises:
        ImportError, OSError, ValueError: as `tune`.
    """
    _optuna()
    import matplotlib as mpl  # noqa: PLC0415  draws only here
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from optuna.visualization import matplotlib as pictures  # noqa: PLC0415

    with _naming_the_study(tuning.folder / STUDY):
        study = _open_study(tuning)
        drawn: dict[str, Any] = {HISTORY: pictures.plot_optimization_history, SETTINGS: pictures.plot_slice}
        if sum(trial.score is not None for trial in read_trials(study)) >= _FEWEST_FOR_IMPORTANCE:
            drawn[IMPORTANCES] = pictures.plot_param_importances
        with mpl.rc_context(), warnings.catch_warnings():  # it sets a style for the whole process
            warnings.simplefilter("ignore")
            for name, draw in drawn.items():
                axes = np.ravel(draw(study, target_name=tuning.metric))
                figure = axes[0].figure
                figure.set_size_inches(max(8, 3 * len(axes)), 4.5)
                save_picture(figure, tuning.folder / name, dpi=160)
                plt.close(figure)
    return [tuning.folder / name for name in drawn]


@contextmanager
def _naming_the_study(path: Path) -> Iterator[None]:
    """Turn what the database below Optuna says into an error that names its file."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _DATABASE:
            raise
        text = str(error.__cause__ or error).splitlines()[0]
        if any(word in text for word in ("full", "readonly", "unable to open", "I/O")):
            raise OSError(f"{path}: {text}") from error
        raise ValueError(f"{path}: expected a study that conr tune wrote, got a broken file: {text}") from error


def _open_study(tuning: Tuning) -> Any:
    optuna = _optuna()
    from sqlalchemy.pool import NullPool  # noqa: PLC0415  comes with Optuna

    tuning.folder.mkdir(parents=True, exist_ok=True)
    path = tuning.folder / STUDY
    study = optuna.create_study(
        # No connection stays open behind an error, or after the search.
        storage=optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}", engine_kwargs={"poolclass": NullPool}),
        study_name="conr",
        load_if_exists=True,
        sampler=_sampler(0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0),
    )
    question = tuning.question()
    asked = study.user_attrs.get("question")
    if asked is not None and (not isinstance(asked, dict) or asked.keys() != question.keys()):
        raise ValueError(f"{path}: expected a study that conr tune wrote, got one of something else")
    if asked is None:
        study.set_user_attr("question", question)
        own = preset_point(tuning.dataset, tuning.method, tuning.space)
        if own is not None:
            study.enqueue_trial(own, skip_if_exists=True)
    else:
        for name, value in question.items():
            if asked[name] != value:
                raise ValueError(
                    f"{path}: expected a search with {name} = {value}, got one with {asked[name]}: name another folder "
                    "(--out) for this search, or remove that one"
                )
    return study


def _optuna() -> Any:
    require("conr tune", "optuna")
    import optuna  # noqa: PLC0415  an extra that only this needs

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _sampler(number: int) -> Any:
    """Seeded by the trial, so that a search that was stopped goes on as it would have."""
    return _optuna().samplers.TPESampler(seed=number, n_startup_trials=_RANDOM)


def _begun(study: Any) -> int:
    """Trials so far; the preset's waits in the study before it is begun."""
    return sum(one.state.name != "WAITING" for one in study.trials)


def _unfinished(study: Any) -> list[Any]:
    """Trials that a killed search was in."""
    optuna = _optuna()
    return [optuna.trial.Trial(study, one._trial_id) for one in study.trials if one.state.name == "RUNNING"]


def _run_trial(tuning: Tuning, study: Any, trial: Any, report: Report | None) -> None:
    states = _optuna().trial.TrialState
    point = _suggest(tuning.space, trial)
    tasks = tuning.tasks(point, trial.number)
    total = sum(task_epochs(task) for task in tasks)
    scores: list[float] = []
    done = 0
    for task in tasks:
        folder = tuning.run_folder(task)

        def tell(epoch: int, before: int = done) -> None:
            if report is not None:
                report(trial.number, before + epoch + 1, total)

        try:
            train_task(task, folder, tell)
            scores.append(_score(folder, tuning.metric))
        except Exception as error:  # noqa: BLE001  whatever stops a run must not stop the search
            record_failure(task, folder, error)
            study.set_user_attr("first_error", study.user_attrs.get("first_error", f"{folder}: {error}"))
            study.tell(trial, state=states.FAIL)
            break
        done += task_epochs(task)
        if task is not tasks[-1]:
            trial.report(fmean(scores), step=task.seed)
            if trial.should_prune():
                study.tell(trial, state=states.PRUNED)
                break
    else:
        study.tell(trial, fmean(scores))
    if report is not None:
        report(trial.number, total, total)
    _remove_checkpoints(tuning, study)


def _suggest(space: Space, trial: Any) -> dict[str, Value]:
    return {
        name: (
            trial.suggest_categorical(name, list(part.values))
            if isinstance(part, Choices)
            else trial.suggest_float(name, part.low, part.high, log=True)
        )
        for name, part in space.items()
    }


def _score(folder: Path, metric: str) -> float:
    history = read_history(folder)
    values = [value for _, value in history.get(metric, []) if math.isfinite(value)]
    if not values:
        logged = ", ".join(name for name in history if name.startswith("val/"))
        raise ValueError(f"metric: expected one that is logged and finite, of {logged}, got {metric!r}")
    return min(values)


def _check_some_work(tuning: Tuning, study: Any, *, at_least: int) -> None:
    """A search whose first points all fail is wrong itself."""
    states = [one.state.name for one in study.trials if one.state.name != "WAITING"]
    if len(states) >= at_least and all(state == "FAIL" for state in states):
        raise ValueError(f"{tuning.folder}: no point could be trained; {study.user_attrs['first_error']}")


def _remove_checkpoints(tuning: Tuning, study: Any) -> None:
    finished = read_trials(study)
    scored = [trial for trial in finished if trial.score is not None]
    keep = best_trial(finished).number if scored else -1
    for trial in finished:
        if trial.number != keep:
            for task in tuning.tasks(trial.values, trial.number):
                shutil.rmtree((tuning.run_folder(task) / LAST_CHECKPOINT).parent, ignore_errors=True)
