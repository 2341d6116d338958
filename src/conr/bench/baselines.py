"""Models of tables outside of the trainer: boosting, plain, weighted, corrected or over-sampled, and others beside it.

A name is ``MODEL[+WEIGHTS][>MAP]``: a model of `conr.bench.table_models.MODELS`, sample weights as networks have them,
and a correction of its predictions as `conr.RareRegressor` names it: ``hgb+sqinv>isotonic+inv``.
"""

import json
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import ArgumentParser
from numpy.typing import NDArray
from torch import Tensor

from conr._checks import check_choice, check_number
from conr._extras import require
from conr._options import option_errors
from conr.bench.table_models import ABSOLUTE, MODELS, SQUARED, Making, TableModel, rows_for
from conr.data import Protocol, RegressionData
from conr.density import SampleWeights
from conr.density.bins import Bins
from conr.estimators.candidates import POWERS
from conr.methods.presets import VANILLA, preset_config
from conr.rare import Rebalanced
from conr.rare.labels import take
from conr.rare.maps import MAPS
from conr.runs.environment import environment
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.runs.saving import save_run
from conr.tables.typed import quote_columns
from conr.training.metrics_table import metrics_by_region
from conr.training.options import plain_config

OVERSAMPLE = "oversample"
TABLES = ("abalone", "table")

_MSE = "mse"
_APPLYING = ("data", "protocol")
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "imblearn": "imbalanced-learn"}  # called otherwise than their imports


def is_baseline(method: str) -> bool:
    """Tell the methods that `run_baseline` runs, as ``hgb+sqinv``, from others."""
    left, arrow, _ = method.partition(">")
    return bool(arrow) or not MODELS.keys().isdisjoint(left.split("+"))


def check_baseline(dataset: str, method: str) -> None:
    """Require a baseline that can run: ``MODEL[+WEIGHTS][>MAP]``, or ``MODEL+oversample``.

    Raises:
        ValueError: a dataset that is no table, an unknown name, or parts that do not go together.
        ImportError: a package of the model is not installed.
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
    iterations: int | None = None,
) -> Path:
    """Fit and test a model on a table, and leave the files that a tested run of a network leaves.

    All see the same splits as the networks, one model per label dimension. scikit-learn's boosting reads the inputs of
    the networks, where missing numbers are filled in and categories are columns of 0 and 1. The others read the columns
    as they are: numbers with NaN (filled in for ``tabm`` and ``realmlp``, which take none), and categories.

    Boosting (``hgb``, ``lightgbm``, ``catboost``) has the defaults of its library but for the number of trees. Its loss
    is the absolute error, or the squared one where the dataset's criterion is MSE, or with ``+mse``. As a network is
    tested at its best epoch by validation, boosting is tested at its best iteration: each counts as an epoch in the
    history. ``tabm`` and ``realmlp`` are pytabkit's `TabM_D_Regressor` and `RealMLP_TD_Regressor` with their defaults,
    which choose their epoch on the same rows. ``rare`` and ``rare-boosting`` are `conr.RareRegressor`, which sees the
    training rows alone. The features in ``outputs.npz`` are the inputs, as there are no others.

    Weights come from the training labels by the same densities as elsewhere; a model that takes none gets rows that are
    drawn by weight. ``oversample`` repeats random rows of each bin until it holds as many as the fullest
    (imbalanced-learn's `RandomOverSampler`, the bins as classes). ``>MAP`` is `conr.rare.Rebalanced` with five folds of
    the training rows: ``linear`` or ``isotonic``, with ``+sqinv`` or ``+inv`` for its power.

    Args:
        dataset: a preset's, of a table.
        method: see `check_baseline`.
        seed: of everything random; boosting of scikit-learn itself draws no random numbers.
        folder: of the run; made if it is not there, and its files are written anew.
        settings: as of `conr.bench.run_grid`; those that do not apply are left out, see `applying_settings`.
        iterations: trees per label dimension; those of `conr.bench.table_models.MODELS` if None.

    Returns:
        The folder.

    Raises:
        ValueError, ImportError: as `check_baseline`; settings that do not parse; inputs that are no rows of numbers.

    Notes:
        A run takes seconds, ``rare`` minutes, and does not resume: a killed one starts anew. ``result.json`` is written
        last.
    """
    parts = _parts(dataset, method)
    if iterations is not None:
        check_number("iterations", iterations, low=1)
        parts = parts._replace(iterations=iterations)
    data, density, config = _built(parts, applying_settings(settings or {}), seed=seed)
    rows = rows_for(parts.model, data)
    labels = {name: getattr(data.splits, name).labels for name in rows}
    chosen, weights = np.arange(len(labels["train"])), None
    if parts.oversample:
        chosen = _oversampled(data.splits.bins.index(labels["train"]), seed)
    if density is not None:
        data.fit_density(density)
        weights = density.weights(labels["train"]).double().numpy()  # (n,)

    start = time.perf_counter()
    columns = {name: one.reshape(len(one), -1).double().numpy() for name, one in labels.items()}  # (n, k) each
    makings = [
        Making(
            loss=parts.loss,
            iterations=parts.iterations,
            seed=seed,
            validation=(rows["val"], column),
            bins=Bins(edges.tolist(), clamp=True),
            many=data.many,
            few=data.few,
        )
        for column, edges in zip(columns["val"].T, data.splits.bins.edges, strict=True)
    ]
    given = {} if weights is None else {"sample_weight": weights}
    models = [
        parts.model.make(making).fit(take(rows["train"], chosen), column[chosen], **given)
        for making, column in zip(makings, columns["train"].T, strict=True)
    ]
    history = _history(data, models, rows["val"], parts.monitor)
    best = min(history, key=lambda epoch: epoch[parts.monitor])
    if parts.map:
        models = [
            _corrected(parts, making, int(best["epoch"]) + 1).fit(rows["train"], column, **given)
            for making, column in zip(makings, columns["train"].T, strict=True)
        ]
        predictions = _joined([model.predict(rows["test"]) for model in models], labels["test"])
    else:
        staged = (_stages(model, rows["test"]) for model in models)
        last = [next(islice(stages, int(best["epoch"]), None)) for stages in staged]
        predictions = _joined(last, labels["test"])
    seconds = time.perf_counter() - start

    metrics = data.metrics(data.shot_density(), "test/")
    metrics.update(predictions, labels["test"])
    test = data.splits.test
    inputs = rows_for(MODELS["hgb"], data)["test"]
    outputs = Outputs.of(test.ids, test.labels.numpy(), predictions.numpy(), lambda kept: inputs[kept])
    packages = (*parts.model.packages, *(["imblearn"] if parts.oversample else []))
    result = RunResult(
        **data.described(),
        bins=data.shot_density().table(),
        method=method,
        seed=seed,
        metrics=metrics_by_region(metrics.compute(), "test/"),
        checkpoint={"path": None, "epoch": int(best["epoch"]), "monitor": parts.monitor, "value": best[parts.monitor]},
        epochs=parts.iterations,
        train_seconds=seconds,
        **environment("cpu", *(_DISTRIBUTIONS.get(package, package) for package in packages)),
    )
    save_run(folder, result, outputs, config=config, history=history)
    return folder


class _Parts(NamedTuple):
    """Meaning of a baseline's name."""

    method: str
    name: str  # of the model
    model: TableModel
    data: dict[str, Any]
    density: dict[str, Any] | None
    oversample: bool
    map: str  # empty for none
    power: float  # of the map
    loss: str
    iterations: int
    monitor: str


def _parts(dataset: str, method: str) -> _Parts:
    left, arrow, right = method.partition(">")
    names = left.split("+")
    models = [name for name in names if name in MODELS]
    if len(models) != 1:
        raise ValueError(f"{method}: expected one model of {', '.join(MODELS)}, got {' and '.join(models) or 'none'}")
    name, model = models[0], MODELS[models[0]]
    check_choice(f"{name}: dataset", dataset, TABLES)
    if model.chooses and method != name:
        raise ValueError(f"{method}: expected {name!r} alone, as it chooses weights and corrections itself")
    others = [one for one in names if one not in {name, OVERSAMPLE, VANILLA}]
    squared = _MSE in others and model.iterations > 1
    if squared:
        others.remove(_MSE)
    plain = preset_config(f"{dataset}-{VANILLA}")
    weighted = preset_config(f"{dataset}-{'+'.join(others) or VANILLA}")
    density = weighted["model"].pop("criterion_density", None)
    del plain["output"]["method"], weighted["output"]["method"]
    if weighted != plain:
        raise ValueError(f"{method}: expected {OVERSAMPLE!r} or sample weights (such as 'sqinv') beside {name!r}")
    if OVERSAMPLE in names and (density is not None or arrow):
        other = "sample weights" if density is not None else "a correction"
        raise ValueError(f"{method}: expected {OVERSAMPLE!r} or {other}, got both")
    kind, power = _map(method, right) if arrow else ("", 0.0)
    require(method, *model.packages, *(["imblearn"] if OVERSAMPLE in names else []))
    criterion = plain["model"].get("criterion", {}).get("class_path", "")
    return _Parts(
        method=method,
        name=name,
        model=model,
        data=plain["data"],
        density=density,
        oversample=OVERSAMPLE in names,
        map=kind,
        power=power,
        loss=SQUARED if squared or criterion.endswith(".MSE") else ABSOLUTE,
        iterations=model.iterations,
        monitor=plain["output"].get("monitor", "val/mae"),
    )


def _map(method: str, text: str) -> tuple[str, float]:
    kind, plus, ending = text.partition("+")
    check_choice(f"{method}: map", kind, MAPS[1:])
    check_choice(f"{method}: weights of the map", plus + ending, POWERS)
    return kind, POWERS[plus + ending]


def _built(
    parts: _Parts, settings: Mapping[str, Any], *, seed: int
) -> tuple[RegressionData, SampleWeights | None, dict[str, Any]]:
    """The dataset, the density, and the configuration that gives them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--data", type=RegressionData)
    parser.add_argument("--protocol", type=Protocol | None, default=None)
    parser.add_argument("--density", type=SampleWeights | None, default=None)
    preset = json.dumps({"data": parts.data, "density": parts.density})
    with option_errors():
        typed = quote_columns([f"--{name}={value}" for name, value in settings.items()])
        chosen = parser.parse_args([f"--config={preset}", *typed])
        built = parser.instantiate_classes(chosen)
    built.data.protocol = built.protocol
    configuration = plain_config(parser, chosen) | {
        "seed_everything": seed,
        parts.name: {"loss": parts.loss, "iterations": parts.iterations, OVERSAMPLE: parts.oversample}
        | ({"map": parts.map, "power": parts.power} if parts.map else {}),
        "output": {"method": parts.method, "monitor": parts.monitor},
    }
    return built.data, built.density, configuration


def _oversampled(classes: Tensor, seed: int) -> NDArray[np.int64]:
    from imblearn.over_sampling import RandomOverSampler  # noqa: PLC0415  loads slowly, and is seldom needed

    sampler = RandomOverSampler(random_state=seed)
    sampler.fit_resample(np.arange(len(classes))[:, None], classes.numpy())
    drawn: NDArray[np.int64] = sampler.sample_indices_
    return drawn


def _corrected(parts: _Parts, making: Making, used: int) -> Rebalanced:
    model = parts.model.make(making)
    if parts.iterations > 1:
        model.set_params(used=used)
    return Rebalanced(
        model, parts.power, parts.map, bins=making.bins, many=making.many, few=making.few, random_state=making.seed
    )


def _stages(model: Any, rows: Any) -> Iterator[Any]:
    """Predictions (n,) after each iteration; of a model that has none, its predictions."""
    return iter(model.staged_predict(rows)) if hasattr(model, "staged_predict") else iter([model.predict(rows)])


def _history(data: RegressionData, models: list[Any], rows: Any, monitor: str) -> list[dict[str, float]]:
    """The validation metrics of each iteration, which counts as an epoch from 0."""
    metrics, labels = data.metrics(data.shot_density(), "val/"), data.splits.val.labels
    history = []
    for epoch, columns in enumerate(zip(*(_stages(model, rows) for model in models), strict=True)):
        metrics.update(_joined(columns, labels), labels)
        history.append({"epoch": epoch, "step": epoch} | {name: float(one) for name, one in metrics.compute().items()})
        metrics.reset()
    if monitor not in history[0]:
        raise ValueError(f"output.monitor: expected a metric of the validation split, got {monitor!r}")
    return history


def _joined(columns: Any, labels: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(list(columns), axis=1)).to(labels.dtype).reshape(labels.shape)
