"""A model's test as a run: the files that `conr report` reads, beside the model."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from conr.density import REGIONS
from conr.estimators.table_model import TableModel
from conr.runs.environment import environment
from conr.runs.folder import CONFIG
from conr.runs.results import Outputs, RunResult
from conr.tables.rows import Rows
from conr.training.callbacks import MAX_FEATURES, spread

_HALF_MAX = float(np.finfo(np.float16).max)


def write_run(
    folder: Path,
    model: TableModel,
    rows: Rows,
    *,
    name: str,
    new_categories: str = "error",
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
        new_categories: as of `TableModel.predict`.
        seed: of the model.
        seconds: that training took.
        label_unit: for tables and pictures.

    Raises:
        ValueError: as `TableModel.evaluate`.
    """
    regressor = model.regressor
    metrics = model.evaluate(rows, new_categories=new_categories)
    predictions = model.predict(rows, new_categories=new_categories)  # (n, k)
    assert rows.labels is not None  # noqa: S101  evaluate has checked it
    single = len(model.targets) == 1
    labels = rows.labels[:, 0] if single else rows.labels
    kept = spread(len(labels), MAX_FEATURES).numpy()
    features = regressor.transform(rows.inputs.iloc[kept])
    Outputs(
        ids=np.array([f"row-{number}" for number in rows.numbers]),
        labels=labels,
        predictions=predictions[:, 0] if single else predictions,
        features=features.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16),
        feature_labels=labels[kept],
    ).write(folder)
    settings = {name: value for name, value in regressor.get_params().items() if name != "random_state"}
    configuration = {
        "seed_everything": seed,
        "table": {"path": model.source, "target": model.targets, "inputs": [*model.numbers, *model.categories]},
        "model": {"class_path": "conr.estimators.ConRRegressor", "init_args": settings},
        "output": {"method": regressor.method},
    }
    (folder / CONFIG).write_text(yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True), encoding="utf-8")
    _write_history(folder, regressor.history_)
    result = RunResult(
        dataset=name,
        method=regressor.method,
        seed=seed,
        label={"name": ", ".join(model.targets), "unit": label_unit}
        | ({} if single else {"dimensions": model.targets}),
        bins={
            "edges": [edges.tolist() for edges in regressor.bins_.edges],
            "train_counts": regressor.density_.counts.flatten().tolist(),
            "regions": [REGIONS[region] for region in regressor.density_.region_of_bin.tolist()],
        },
        headline="mae",
        metrics=metrics,
        checkpoint={
            "path": "model.json",
            "epoch": regressor.best_epoch_,
            "monitor": f"val/{regressor.monitor}, in standard deviations of the label",
            "value": regressor.history_[regressor.best_epoch_ - 1].get(regressor.monitor),
        },
        epochs=len(regressor.history_),
        train_seconds=seconds,
        **environment(str(regressor.device_), "scikit-learn"),
    )
    result.write(folder)
    return result


def _write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """The curves of training; validation errors are in standard deviations of the label."""
    path = folder / "csv" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    renamed = [
        {"epoch": int(record["epoch"]) - 1, "step": int(record["epoch"]) - 1, "train/loss": record["loss"]}
        | {f"val/{name}_in_deviations": value for name, value in record.items() if name not in {"epoch", "loss"}}
        for record in history
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for record in renamed for name in record)))
        writer.writeheader()
        writer.writerows(renamed)
