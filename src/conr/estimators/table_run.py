"""A model's test as a run: the files that `conr report` reads, beside the model."""

from pathlib import Path
from typing import Any

import numpy as np

from conr.estimators.leaderboard import OBJECTIVE_ERRORS
from conr.estimators.rare_regressor import RareRegressor
from conr.estimators.table_model import TableModel
from conr.runs.choice import write_choice
from conr.runs.environment import environment
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.runs.saving import save_run
from conr.tables.source import TableRows

RARE, BOOSTING = "rare", "boosting"
"""The methods of a `RareRegressor` in tables: with its own candidates, or without networks."""

COVERAGE = 0.9
"""That intervals of a report aim at."""


def write_run(
    folder: Path,
    model: TableModel,
    rows: TableRows,
    *,
    name: str,
    strict: bool = False,
    seed: int | None = None,
    seconds: float = 0.0,
    label_unit: str = "",
) -> RunResult:
    """Evaluate a model and write ``result.json``, ``outputs.npz``, ``config.yaml`` and the history of its training.

    Of a `RareRegressor` there is no history, and ``choice.json`` has its leaderboard and the coverage of intervals.

    Args:
        folder: where to; it is there.
        model: to evaluate.
        rows: with labels.
        name: of the dataset in reports.
        strict: as of `TableModel.predict`.
        seed: of the model.
        seconds: that training took.
        label_unit: for tables and pictures.

    Raises:
        ValueError: as `TableModel.predict` and `TableModel.errors`.
    """
    regressor = model.regressor
    if isinstance(regressor, RareRegressor):
        method = BOOSTING if regressor.candidates == BOOSTING else RARE
    else:
        method = regressor.method_
    history = [] if isinstance(regressor, RareRegressor) else regressor.history_
    predictions = model.predict(rows, strict=strict)  # (n, k)
    metrics = model.errors(rows, predictions)
    assert rows.labels is not None  # noqa: S101  errors has checked it
    single = len(model.targets) == 1
    outputs = Outputs.of(
        [f"row-{number}" for number in rows.inputs.rows],
        rows.labels[:, 0] if single else rows.labels,
        predictions[:, 0] if single else predictions,
        lambda kept: _features(model, rows, kept),
    )
    settings = {name: _named(value) for name, value in regressor.get_params(deep=False).items()}
    del settings["random_state"]
    configuration = {
        "seed_everything": seed,
        "table": {"path": model.source, "target": model.targets, "inputs": list(regressor.kinds_)},
        "model": {"class_path": f"conr.estimators.{type(regressor).__name__}", "init_args": settings},
        "output": {"method": method},
    }
    result = RunResult(
        dataset=name,
        method=method,
        seed=seed,
        label={"name": ", ".join(model.targets), "unit": label_unit}
        | ({} if single else {"dimensions": model.targets}),
        bins=regressor.density_.table(),
        headline="mae",
        metrics=metrics,
        checkpoint={"path": "model.json", **_chosen(regressor)},
        epochs=len(history),
        train_seconds=seconds,
        **environment(str(getattr(regressor, "device_", "cpu")), "scikit-learn"),
    )
    if isinstance(regressor, RareRegressor):
        sets = regressor.label_sets(COVERAGE)
        write_choice(
            folder,
            objective=regressor.objective,
            leaderboard=regressor.leaderboard_,
            tradeoff=regressor.tradeoff_._asdict(),
            unfinished=regressor.unfinished_,
            coverage=COVERAGE,
            intervals=sets.evaluate(predictions[:, 0], rows.labels[:, 0], regressor.density_),
        )
    return save_run(folder, result, outputs, config=configuration, history=_history(history))


def _features(model: TableModel, rows: TableRows, kept: Any) -> Any:
    """Features of a network; of other models the inputs, zero for what is missing."""
    regressor, inputs = model.regressor, rows.inputs.take(kept)
    if isinstance(regressor, RareRegressor):
        assert regressor.encoding_ is not None  # noqa: S101  models of files read tables
        return np.nan_to_num(regressor.encoding_.numbers(inputs))
    return regressor.transform(inputs)


def _chosen(regressor: Any) -> dict[str, Any]:
    """The rows that chose the model, and its errors there."""
    if isinstance(regressor, RareRegressor):
        value = regressor.leaderboard_[0][OBJECTIVE_ERRORS[regressor.objective]]
        return {"epoch": None, "monitor": f"{regressor.objective} of held-out rows", "value": value}
    return {
        "epoch": regressor.best_epoch_ - 1,
        "monitor": f"val/{regressor.monitor}, in standard deviations of the label",
        "value": regressor.history_[regressor.best_epoch_ - 1].get(regressor.monitor),
    }


def _named(value: Any) -> Any:
    """Settings as YAML holds them: of models by name, the names."""
    return list(value) if isinstance(value, dict) else value


def _history(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The curves of training; validation errors are in standard deviations of the label."""
    return [
        {"epoch": int(record["epoch"]) - 1, "step": int(record["epoch"]) - 1, "train/loss": record["loss"]}
        | {f"val/{name}_in_deviations": value for name, value in record.items() if name not in {"epoch", "loss"}}
        for record in history
    ]
