from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from conr.bench import Task, grid_tasks, run_grid, task_epochs
from conr.bench.baselines import check_baseline, run_baseline
from conr.bench.table_models import MODELS
from conr.data import ArrayDataset, Table
from conr.report import load_runs
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole labels 0 to 9, of which the large ones are rare, and another column that can be a second target."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    random = np.random.default_rng(0)
    labels = np.floor(10 * random.random(400) ** 2.5)
    noise = random.normal(size=(400, 3))
    rows = np.column_stack((labels + 0.5 * noise[:, 0], labels * noise[:, 1], labels, labels % 3 + noise[:, 2]))
    path.write_text("a,b,label,other\n" + "".join(",".join(f"{cell:.4f}" for cell in row) + "\n" for row in rows))
    return path


def run(method: str, folder: Path, table: Path, settings: dict[str, Any] | None = None, *, seed: int = 0) -> Path:
    chosen = {"data.path": str(table), "data.target": "label", "trainer.max_epochs": 2} | (settings or {})
    return run_baseline("table", method, seed=seed, folder=folder, settings=chosen, iterations=15)


def arrays(table: Path) -> tuple[Table, tuple[NDArray[Any], ...]]:
    data = Table(path=str(table), target="label")
    train, test = data.splits.train, data.splits.test
    assert isinstance(train, ArrayDataset)
    assert isinstance(test, ArrayDataset)
    return data, (train.inputs.numpy(), train.labels.numpy(), test.inputs.numpy(), test.labels.numpy())


def test_a_baseline_leaves_the_files_of_a_tested_run(table: Path, tmp_path: Path) -> None:
    folder = run("hgb", tmp_path / "table" / "hgb" / "seed-3", table, seed=3)
    result, outputs = RunResult.read(folder), Outputs.read(folder)
    data, (inputs, labels, test_inputs, test_labels) = arrays(table)
    assert (result.dataset, result.method, result.seed, result.epochs) == (data.title, "hgb", 3, 15)
    assert outputs.labels.tolist() == test_labels.tolist()
    assert outputs.ids.tolist() == data.splits.test.ids
    assert result.metrics["all"]["mae"] == pytest.approx(abs(outputs.predictions - outputs.labels).mean(), rel=1e-5)
    assert sum(result.bins["train_counts"]) == len(labels)
    maes = dict(read_history(folder)["val/mae"])
    assert len(maes) == 15
    best = min(maes, key=lambda epoch: maes[epoch])
    assert result.checkpoint == {"path": None, "epoch": best, "monitor": "val/mae", "value": pytest.approx(maes[best])}
    model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=best + 1, early_stopping=False)
    expected = model.fit(inputs, labels.astype(np.float64)).predict(test_inputs)
    assert outputs.predictions.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    configuration = yaml.safe_load((folder / "config.yaml").read_text())
    assert configuration["seed_everything"] == 3
    assert configuration["hgb"] == {"loss": "absolute_error", "iterations": 15, "oversample": False}
    assert configuration["data"]["init_args"]["path"] == str(table)
    (group,) = load_runs([tmp_path])
    assert list(group.methods) == ["hgb"]


def test_weights_are_those_of_the_counts_and_over_sampling_fills_the_bins(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[NDArray[Any], Any]] = {}
    original = HistGradientBoostingRegressor.fit

    def fit(self: Any, inputs: Any, labels: Any, sample_weight: Any = None) -> Any:
        seen[method] = (labels, sample_weight)
        return original(self, inputs, labels, sample_weight)

    monkeypatch.setattr(HistGradientBoostingRegressor, "fit", fit)
    for method in ("hgb", "hgb+sqinv", "hgb+oversample"):
        run(method, tmp_path / method, table)
    _, (_, labels, _, _) = arrays(table)
    counts = Counter(labels.tolist())
    assert seen["hgb"][1] is None
    weights = np.array([counts[label] ** -0.5 for label in labels.tolist()])
    assert seen["hgb+sqinv"][0].tolist() == labels.tolist()
    assert seen["hgb+sqinv"][1] == pytest.approx(weights / weights.mean(), rel=1e-5)
    assert seen["hgb+oversample"][1] is None
    assert set(Counter(seen["hgb+oversample"][0].tolist()).values()) == {max(counts.values())}
    few = [RunResult.read(tmp_path / method).metrics["few"]["mae"] for method in ("hgb", "hgb+sqinv")]
    assert few[1] < few[0]


def test_seeds_choose_the_rows_of_over_sampling_alone(table: Path, tmp_path: Path) -> None:
    def predictions(method: str, seed: int, attempt: int = 0) -> list[float]:
        folder = run(method, tmp_path / f"{method}-{seed}-{attempt}", table, seed=seed)
        return list(Outputs.read(folder).predictions.tolist())

    assert predictions("hgb", 0) == predictions("hgb", 1)
    assert predictions("hgb+oversample", 0) == predictions("hgb+oversample", 0, attempt=1)
    assert predictions("hgb+oversample", 0) != predictions("hgb+oversample", 1)


def test_several_label_dimensions_have_a_model_each(table: Path, tmp_path: Path) -> None:
    folder = run("hgb+denseweight", tmp_path, table, {"data.target": '["label", "other"]'})
    outputs = Outputs.read(folder)
    assert outputs.predictions.shape == outputs.labels.shape
    assert outputs.labels.shape[1] == 2
    assert np.corrcoef(outputs.predictions[:, 0], outputs.labels[:, 0])[0, 1] > 0.8


def test_a_grid_runs_baselines_beside_networks_and_repeats_nothing(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "hgb", MODELS["hgb"]._replace(iterations=10))
    tasks = grid_tasks(["table"], ["hgb", "hgb+inv"], 1)
    assert task_epochs(tasks[0], {"trainer.max_epochs": 7}) == 1
    told = []

    def report(task: Task, epochs: int) -> None:
        told.append((task.method, epochs))

    options = {"data.init_args.path": str(table), "data.init_args.target": "label", "trainer.max_epochs": 2}
    folders = run_grid(tasks, tmp_path, options=options, report=report)
    assert [folder.relative_to(tmp_path).parts for folder in folders] == [
        ("table-table", "hgb", "seed-0"),
        ("table-table", "hgb+inv", "seed-0"),
    ]
    assert told == [("hgb", 1), ("hgb+inv", 1)]
    before = [(folder / "result.json").stat().st_mtime_ns for folder in folders]
    assert run_grid(tasks, tmp_path, options=options) == folders
    assert [(folder / "result.json").stat().st_mtime_ns for folder in folders] == before
    with pytest.raises(ValueError, match=r"expected a run with data\.init_args\.target = other"):
        run_grid(tasks, tmp_path, options=options | {"data.init_args.target": "other"})


def test_epochs_of_two_stages_count_together() -> None:
    task = Task("rotated-digits", "conr+rrt", 0)
    assert task_epochs(task, {}) == 40
    assert task_epochs(task, {"trainer.max_epochs": 3, "rrt.epochs": 2}) == 5


@pytest.mark.parametrize(
    ("dataset", "method", "message"),
    [
        ("rotated-digits", "hgb", "hgb: dataset: expected one of 'abalone', 'table', got 'rotated-digits'"),
        ("abalone", "hgb+sqin", "got 'sqin'; did you mean 'sqinv'"),
        ("abalone", "hgb+conr", r"hgb\+conr: expected 'oversample' or sample weights \(such as 'sqinv'\) beside 'hgb'"),
        ("abalone", "hgb+bmc", "expected 'oversample' or sample weights"),
        ("abalone", "hgb+sqinv+inv", "contradict each other"),
        ("abalone", "hgb+oversample+inv", "expected 'oversample' or sample weights, got both"),
    ],
)
def test_what_boosting_cannot_take_is_said_before_anything_runs(dataset: str, method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_baseline(dataset, method)
    with pytest.raises(ValueError, match=message):
        grid_tasks([dataset], [method], 1)


def test_settings_that_do_not_parse_are_an_error(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.batch_size: expected a whole number or 'auto', got 'many'"):
        run("hgb", tmp_path, table, {"data.batch_size": "many"})
    with pytest.raises(ValueError, match="iterations: expected a number of at least 1, got 0"):
        run_baseline("abalone", "hgb", seed=0, folder=tmp_path, iterations=0)


def test_a_name_near_boosting_is_answered_with_it() -> None:
    with pytest.raises(ValueError, match="got 'hgbb'; did you mean 'hgb'"):
        grid_tasks(["abalone"], ["vanilla", "hgbb"], 1)
