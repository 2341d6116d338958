"""Runs of a grid: a preset by its dataset and method, a seed, and settings that differ from the preset."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from conr._checks import check_choice, check_number
from conr.bench.baselines import TABLES, applying_settings, check_baseline, is_baseline
from conr.bench.datasets import TABLE, GridDataset
from conr.bench.table_models import MODELS
from conr.data.catalog import dataset_class
from conr.methods.lengths import MOST_EPOCHS
from conr.methods.presets import VANILLA, method_names, preset_config
from conr.training.options import planned_data


@dataclass(frozen=True)
class Task:
    """One run of a grid: a preset by its dataset and method, a seed, and settings that differ from the preset.

    Args:
        dataset: of the preset, such as "table".
        method: of the preset; several join with ``+``.
        seed: of the run.
        options: settings of this run, such as ``(("data.path", "houses.csv"),)``.
        variant: what options other than the dataset's make of the method, "window=0.5", so that results and folders
            tell it from the preset.
    """

    dataset: str
    method: str
    seed: int
    options: tuple[tuple[str, Any], ...] = ()
    variant: str = ""

    @property
    def preset(self) -> str:
        """Name of the preset."""
        return f"{self.dataset}-{self.method}"

    @property
    def name(self) -> str:
        """Name of the method in results and folders."""
        return f"{self.method},{self.variant}" if self.variant else self.method

    @property
    def title(self) -> str:
        """Name of the dataset in results and folders: of a table with its file, of a protocol with its settings."""
        return _title(self.dataset, tuple(flag for flag in self._flags if flag.startswith(("--data.", "--protocol"))))

    @property
    def arguments(self) -> list[str]:
        """The run as typed after ``conr fit``."""
        return [
            f"--config={self.preset}",
            f"--seed_everything={self.seed}",
            f"--output.method={self.name}",
            *self._flags,
        ]

    @property
    def _flags(self) -> list[str]:
        return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in self.options]


def grid_tasks(datasets: Iterable[str | GridDataset], methods: Iterable[str], seeds: int) -> list[Task]:
    """All runs of a grid, seed by seed, so that a grid that is stopped early has compared all methods.

    Args:
        datasets: names of presets, or datasets with options.
        methods: names, or several joined with ``+``.
        seeds: runs of each method on each dataset, with the seeds from 0 on.

    Raises:
        ValueError: an unknown dataset or method, methods that contradict each other, or fewer than one seed.
    """
    check_number("seeds", seeds, low=1)
    known = [GridDataset(one, one) if isinstance(one, str) else one for one in datasets]
    pairs = [(dataset, method) for dataset in known for method in dict.fromkeys(methods)]
    tasks = [Task(dataset.preset, method, seed, dataset.options) for seed in range(seeds) for dataset, method in pairs]
    for task in tasks[: len(pairs)]:
        _check_method(task)  # fails now, not after an hour
    return tasks


def check_options(tasks: Sequence[Task], options: Mapping[str, Any]) -> None:
    """Require options that runs can have, and tables that can be read, before anything runs.

    Args:
        tasks: the runs; the first of each dataset is looked at.
        options: as for `run_grid`.

    Raises:
        ValueError, FileNotFoundError: options that do not parse, or a table that cannot be used.
        KeyboardInterrupt: it was stopped by hand.
    """
    seen = set()
    for task in tasks:
        if (task.dataset, task.options) not in seen:
            seen.add((task.dataset, task.options))
            data = planned_data(_planned(replace(task, options=(*options.items(), *task.options))).arguments)
            if task.dataset == TABLE:
                data.splits  # noqa: B018  reads the file


def task_epochs(task: Task, options: Mapping[str, Any] | None = None) -> int:
    """Epochs of a task, of both stages together; 1 for a baseline.

    Args:
        task: a run.
        options: settings of all runs of its grid, as `run_grid` takes them.
    """
    if is_baseline(task.method):
        return 1
    given = {**(options or {}), **dict(task.options)}
    config = preset_config(task.preset)
    second = given.get("rrt.epochs", config.get("rrt", {}).get("epochs", 0))
    epochs = int(given.get("trainer.max_epochs", config["trainer"]["max_epochs"]))
    return (epochs if epochs > 0 else MOST_EPOCHS) + int(second)


def _check_method(task: Task) -> None:
    if is_baseline(task.method):
        check_baseline(task.dataset, task.method)
        return
    for name in task.method.split("+") if task.dataset in TABLES else ():
        check_choice("method", name, [*method_names(task.dataset), *MODELS])
    preset_config(task.preset)


def _planned(task: Task) -> Task:
    """A task with the same dataset that trains through the command line, as a baseline does not."""
    if not is_baseline(task.method):
        return task
    return replace(task, method=VANILLA, options=tuple(applying_settings(dict(task.options)).items()))


@cache
def _title(dataset: str, flags: tuple[str, ...]) -> str:
    if not flags:
        return dataset_class(dataset).name
    return planned_data([f"--config={dataset}-{VANILLA}", *flags]).title
