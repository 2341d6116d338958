"""Baselines outside deep learning, for tables: gradient boosting, plain, weighted, or on over-sampled rows."""

import json
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from jsonargparse import ArgumentParser
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

from conr._checks import check_choice, check_number
from conr._extras import require
from conr._options import option_errors
from conr.data import ArrayDataset, Protocol, RegressionData
from conr.density import SampleWeights
from conr.methods.presets import VANILLA, preset_config
from conr.runs.environment import environment
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.runs.saving import save_run
from conr.training.metrics_table import metrics_by_region

HGB = "hgb"
OVERSAMPLE = "oversample"
TABLES = ("abalone", "table")
ITERATIONS = 200

_APPLYING = ("data", "protocol")

Rows = NDArray[np.float32]


def is_baseline(method: str) -> bool:
    """Tell the methods that `run_baseline` runs, as ``hgb+sqinv``, from others."""
    return HGB in method.split("+")


def check_baseline(dataset: str, method: str) -> None:
    """Require a baseline that can run: ``hgb``, ``hgb+oversample``, or ``hgb+WEIGHTS`` as in ``hgb+sqinv``.

    Raises:
        ValueError: a dataset that is no table, an unknown method, or one that boosting cannot take.
    """
    _parts(dataset, method)


def applying_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Take those of a grid's settings that a baseline has, too: names that begin with ``data.`` or ``protocol``."""
    return {name: value for name, value in settings.items() if name.split(".")[0] in _APPLYING}


def run_baseline(
    dataset: str,
    method: str,
    *,
    seed: int,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    iterations: int = ITERATIONS,
) -> Path:
    """Fit and test gradient boosting on a table, and leave the files that a tested run of a network leaves.

    scikit-learn's `HistGradientBoostingRegressor` with its defaults sees the same splits and the same inputs as the
    networks, one model per label dimension. Its loss is the absolute error, or the squared one where the dataset's
    criterion is MSE. As a network is tested at its best epoch by validation, boosting is tested at its best iteration:
    each counts as an epoch in the history. The features in ``outputs.npz`` are the inputs, as there are no others.

    Weights come from the training labels by the same densities as elsewhere. ``oversample`` repeats random rows of each
    bin until it holds as many as the fullest (imbalanced-learn's `RandomOverSampler`, the bins as classes).

    Args:
        dataset: a preset's, of a table.
        method: see `check_baseline`.
        seed: of the over-sampling; boosting itself draws no random numbers.
        folder: of the run; made if it is not there, and its files are written anew.
        settings: as of `conr.bench.run_grid`; those that do not apply are left out, see `applying_settings`.
        iterations: trees per label dimension.

    Returns:
        The folder.

    Raises:
        ValueError: as `check_baseline`; settings that do not parse; inputs that are no rows of numbers.

    Notes:
        A run takes seconds and does not resume: a killed one starts anew. ``result.json`` is written last.
    """
    check_number("iterations", iterations, low=1)
    parts = _parts(dataset, method)
    if parts.oversample:
        require(f"{HGB}+{OVERSAMPLE}", "imblearn")
    data, density, config = _built(parts, applying_settings(settings or {}), seed=seed, iterations=iterations)
    train, val, test = (_table(split) for split in (data.splits.train, data.splits.val, data.splits.test))
    rows = np.arange(len(train.labels))
    if parts.oversample:
        rows = _oversampled(data.splits.bins.index(train.labels), seed)
    weights = None
    if density is not None:
        data.fit_density(density)
        weights = density.weights(train.labels).double().numpy()  # (n,)

    start = time.perf_counter()
    columns = train.labels.reshape(len(train.labels), -1).double().numpy()  # (n, k)
    models = [
        HistGradientBoostingRegressor(
            loss=parts.loss, max_iter=iterations, early_stopping=False, random_state=seed
        ).fit(train.inputs.numpy()[rows], column[rows], sample_weight=None if weights is None else weights[rows])
        for column in columns.T
    ]
    history = _history(data, models, val, parts.monitor)
    best = min(history, key=lambda epoch: epoch[parts.monitor])
    seconds = time.perf_counter() - start

    predictions = _predictions(models, test, iteration=int(best["epoch"]))
    metrics = data.metrics(data.shot_density(), "test/")
    metrics.update(predictions, test.labels)
    outputs = Outputs.of(test.ids, test.labels.numpy(), predictions.numpy(), lambda kept: test.inputs[kept].numpy())
    result = RunResult(
        **data.described(),
        bins=data.shot_density().table(),
        method=method,
        seed=seed,
        metrics=metrics_by_region(metrics.compute(), "test/"),
        checkpoint={"path": None, "epoch": int(best["epoch"]), "monitor": parts.monitor, "value": best[parts.monitor]},
        epochs=iterations,
        train_seconds=seconds,
        **environment("cpu", "scikit-learn", *(["imbalanced-learn"] if parts.oversample else [])),
    )
    save_run(folder, result, outputs, config=config, history=history)
    return folder


class _Parts(NamedTuple):
    """Meaning of a baseline's name."""

    method: str
    data: dict[str, Any]
    density: dict[str, Any] | None
    oversample: bool
    loss: str
    monitor: str


def _parts(dataset: str, method: str) -> _Parts:
    check_choice(f"{HGB}: dataset", dataset, TABLES)
    names = method.split("+")
    others = [name for name in names if name not in {HGB, OVERSAMPLE, VANILLA}]
    plain = preset_config(f"{dataset}-{VANILLA}")
    weighted = preset_config(f"{dataset}-{'+'.join(others) or VANILLA}")
    density = weighted["model"].pop("criterion_density", None)
    del plain["output"]["method"], weighted["output"]["method"]
    if weighted != plain:
        raise ValueError(f"{method}: expected {OVERSAMPLE!r} or sample weights (such as 'sqinv') beside {HGB!r}")
    if density is not None and OVERSAMPLE in names:
        raise ValueError(f"{method}: expected {OVERSAMPLE!r} or sample weights, got both")
    criterion = plain["model"].get("criterion", {}).get("class_path", "")
    return _Parts(
        method=method,
        data=plain["data"],
        density=density,
        oversample=OVERSAMPLE in names,
        loss="squared_error" if criterion.endswith(".MSE") else "absolute_error",
        monitor=plain["output"].get("monitor", "val/mae"),
    )


def _built(
    parts: _Parts, settings: Mapping[str, Any], *, seed: int, iterations: int
) -> tuple[RegressionData, SampleWeights | None, dict[str, Any]]:
    """The dataset, the density, and the configuration that gives them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--data", type=RegressionData)
    parser.add_argument("--protocol", type=Protocol | None, default=None)
    parser.add_argument("--density", type=SampleWeights | None, default=None)
    preset = json.dumps({"data": parts.data, "density": parts.density})
    with option_errors():
        chosen = parser.parse_args([f"--config={preset}", *(f"--{name}={value}" for name, value in settings.items())])
        built = parser.instantiate_classes(chosen)
    built.data.protocol = built.protocol
    configuration = yaml.safe_load(parser.dump(chosen)) | {
        "seed_everything": seed,
        HGB: {"loss": parts.loss, "iterations": iterations, OVERSAMPLE: parts.oversample},
        "output": {"method": parts.method, "monitor": parts.monitor},
    }
    return built.data, built.density, configuration


def _table(split: object) -> ArrayDataset:
    if not isinstance(split, ArrayDataset) or split.inputs.ndim != 2:
        raise ValueError(f"{HGB}: expected a table, whose inputs are rows of numbers, got {type(split).__name__}")
    return split


def _oversampled(classes: Tensor, seed: int) -> NDArray[np.int64]:
    from imblearn.over_sampling import RandomOverSampler  # noqa: PLC0415  loads slowly, and is seldom needed

    sampler = RandomOverSampler(random_state=seed)
    sampler.fit_resample(np.arange(len(classes))[:, None], classes.numpy())
    drawn: NDArray[np.int64] = sampler.sample_indices_
    return drawn


def _history(data: RegressionData, models: list[Any], val: ArrayDataset, monitor: str) -> list[dict[str, float]]:
    """The validation metrics of each iteration, which counts as an epoch from 0."""
    metrics = data.metrics(data.shot_density(), "val/")
    history = []
    inputs = val.inputs.numpy()
    for epoch, columns in enumerate(zip(*(model.staged_predict(inputs) for model in models), strict=True)):
        metrics.update(_joined(columns, val.labels), val.labels)
        history.append({"epoch": epoch, "step": epoch} | {name: float(one) for name, one in metrics.compute().items()})
        metrics.reset()
    if monitor not in history[0]:
        raise ValueError(f"output.monitor: expected a metric of the validation split, got {monitor!r}")
    return history


def _predictions(models: list[Any], table: ArrayDataset, *, iteration: int) -> Tensor:
    staged = (model.staged_predict(table.inputs.numpy()) for model in models)
    return _joined([next(islice(stages, iteration, None)) for stages in staged], table.labels)


def _joined(columns: Any, labels: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(list(columns), axis=1)).to(labels.dtype).reshape(labels.shape)
