from pathlib import Path
from typing import Any

import pytest
import yaml

from conr.bench import Task, grid_tasks, run_grid, task_epochs
from conr.training.results import RunResult
from conr.training.run_folder import LAST_CHECKPOINT

QUICK: dict[str, Any] = {
    "trainer.max_epochs": 2,
    "trainer.limit_train_batches": 2,
    "trainer.log_every_n_steps": 1,
    "trainer.limit_val_batches": 1,
}


def test_tasks_go_seed_by_seed() -> None:
    tasks = grid_tasks(["abalone"], ["vanilla", "conr"], 2)
    assert [(task.method, task.seed) for task in tasks] == [("vanilla", 0), ("conr", 0), ("vanilla", 1), ("conr", 1)]
    assert tasks[1].preset == "abalone-conr"


@pytest.mark.parametrize(
    ("datasets", "methods", "seeds", "message"),
    [
        (["abalone"], ["vanila"], 1, "did you mean 'vanilla'"),
        (["abelone"], ["vanilla"], 1, "did you mean 'abalone-vanilla'"),
        (["abalone"], ["sqinv+inv"], 1, "contradict each other in 'scheme'"),
        (["abalone"], ["vanilla"], 0, "seeds: expected a number of at least 1"),
    ],
)
def test_what_cannot_run_is_said_before_anything_runs(
    datasets: list[str], methods: list[str], seeds: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        grid_tasks(datasets, methods, seeds)


def test_a_grid_leaves_one_tested_run_per_task_and_repeats_nothing(tmp_path: Path) -> None:
    tasks = grid_tasks(["abalone"], ["vanilla", "conr"], 1)
    told: list[tuple[str, int]] = []

    def report(task: Task, epochs: int) -> None:
        told.append((task.method, epochs))

    folders = run_grid(tasks, tmp_path, options=QUICK, report=report)
    assert [folder.parts[-2:] for folder in folders] == [("vanilla", "seed-0"), ("conr", "seed-0")]
    results = [RunResult.read(folder) for folder in folders]
    assert [(result.method, result.seed, result.epochs) for result in results] == [("vanilla", 0, 2), ("conr", 0, 2)]
    assert {method: sum(epochs for name, epochs in told if name == method) for method in ("vanilla", "conr")} == {
        "vanilla": 2,
        "conr": 2,
    }
    before = [(folder / "result.json").stat().st_mtime_ns for folder in folders]
    assert run_grid(tasks, tmp_path, options=QUICK) == folders
    assert [(folder / "result.json").stat().st_mtime_ns for folder in folders] == before


def test_a_killed_run_is_finished(tmp_path: Path) -> None:
    (task,) = grid_tasks(["abalone"], ["vanilla"], 1)
    (folder,) = run_grid([task], tmp_path, options=QUICK)
    whole = RunResult.read(folder)
    (folder / "result.json").unlink()  # as if killed between training and test
    (folder / "checkpoints" / "best.ckpt").rename(folder / "best")
    (folder / "best").rename(folder / "checkpoints" / "best.ckpt")
    assert run_grid([task], tmp_path, options=QUICK) == [folder]
    assert RunResult.read(folder).metrics == whole.metrics
    (folder / "result.json").unlink()
    (folder / LAST_CHECKPOINT).unlink()  # as if killed in the first epoch
    assert run_grid([task], tmp_path, options=QUICK) == [folder]
    assert RunResult.read(folder).metrics["all"]["mae"] == pytest.approx(whole.metrics["all"]["mae"])


def test_runs_with_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    (task,) = grid_tasks(["abalone"], ["vanilla"], 1)
    folder = tmp_path / "abalone" / "vanilla" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    (folder / "config.yaml").write_text(yaml.safe_dump({"trainer": {"max_epochs": 5}}))
    with pytest.raises(ValueError, match=r"expected a run with trainer\.max_epochs = 2, got one with 5"):
        run_grid([task], tmp_path, options={"trainer.max_epochs": 2})


def test_epochs_come_from_the_options_or_the_preset() -> None:
    task = Task("rotated-digits", "conr", 0)
    assert (task_epochs(task, {}), task_epochs(task, {"trainer.max_epochs": 3})) == (30, 3)
