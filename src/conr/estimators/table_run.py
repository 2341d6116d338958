"""A model's test as a run: the files that `conr report` reads, beside the model."""

from pathlib import Path
from typing import Any

from conr.estimators.table_model import TableModel
from conr.runs.environment import environment
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.runs.saving import save_run
from conr.tables.source import TableRows


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
        ValueError: as `TableModel.evaluate`.
    """
    regressor = model.regressor
    metrics = model.evaluate(rows, strict=strict)
    predictions = model.predict(rows, strict=strict)  # (n, k)
    assert rows.labels is not None  # noqa: S101  evaluate has checked it
    single = len(model.targets) == 1
    outputs = Outputs.of(
        [f"row-{number}" for number in rows.inputs.rows],
        rows.labels[:, 0] if single else rows.labels,
        predictions[:, 0] if single else predictions,
        lambda kept: regressor.transform(rows.inputs.take(kept)),
    )
    settings = {name: value for name, value in regressor.get_params().items() if name != "random_state"}
    configuration = {
        "seed_everything": seed,
        "table": {"path": model.source, "target": model.targets, "inputs": list(regressor.kinds_)},
        "model": {"class_path": "conr.estimators.ConRRegressor", "init_args": settings},
        "output": {"method": regressor.method},
    }
    result = RunResult(
        dataset=name,
        method=regressor.method,
        seed=seed,
        label={"name": ", ".join(model.targets), "unit": label_unit}
        | ({} if single else {"dimensions": model.targets}),
        bins=regressor.density_.table(),
        headline="mae",
        metrics=metrics,
        checkpoint={
            "path": "model.json",
            "epoch": regressor.best_epoch_ - 1,
            "monitor": f"val/{regressor.monitor}, in standard deviations of the label",
            "value": regressor.history_[regressor.best_epoch_ - 1].get(regressor.monitor),
        },
        epochs=len(regressor.history_),
        train_seconds=seconds,
        **environment(str(regressor.device_), "scikit-learn"),
    )
    return save_run(folder, result, outputs, config=configuration, history=_history(regressor.history_))


def _history(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The curves of training; validation errors are in standard deviations of the label."""
    return [
        {"epoch": int(record["epoch"]) - 1, "step": int(record["epoch"]) - 1, "train/loss": record["loss"]}
        | {f"val/{name}_in_deviations": value for name, value in record.items() if name not in {"epoch", "loss"}}
        for record in history
    ]
