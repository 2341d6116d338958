import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from conr.bench import Failure, GridDataset, Task, failed, grid_tasks, run_grid, task_epochs
from conr.runs.folder import LAST_CHECKPOINT
from conr.runs.results import RunResult

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int]]]:
    """A folder with two runs, and what was told of their epochs."""
    root = tmp_path_factory.mktemp("finished")
    told: list[tuple[str, int]] = []

    def report(task: Task, epochs: int) -> None:
        told.append((task.method, epochs))

    run_grid(grid_tasks(["abalone"], ["vanilla", "conr"], 1), root, options=QUICK, report=report)
    return root, told


def test_a_grid_leaves_one_tested_run_per_task_and_repeats_nothing(
    finished: tuple[Path, list[tuple[str, int]]],
) -> None:
    root, told = finished
    tasks = grid_tasks(["abalone"], ["vanilla", "conr"], 1)
    folders = [root / "abalone" / method / "seed-0" for method in ("vanilla", "conr")]
    results = [RunResult.read(folder) for folder in folders]
    assert [(result.method, result.seed, result.epochs) for result in results] == [("vanilla", 0, 2), ("conr", 0, 2)]
    assert {method: sum(epochs for name, epochs in told if name == method) for method in ("vanilla", "conr")} == {
        "vanilla": 2,
        "conr": 2,
    }
    before = [(folder / "result.json").stat().st_mtime_ns for folder in folders]
    assert run_grid(tasks, root, options=QUICK) == folders
    assert [(folder / "result.json").stat().st_mtime_ns for folder in folders] == before


def test_a_killed_run_is_finished(finished: tuple[Path, list[tuple[str, int]]]) -> None:
    root = finished[0]  # a run knows its folder, and cannot be copied
    (task,) = grid_tasks(["abalone"], ["vanilla"], 1)
    folder = root / "abalone" / "vanilla" / "seed-0"
    whole = RunResult.read(folder)
    (folder / "result.json").unlink()  # as if killed between training and test
    assert run_grid([task], root, options=QUICK) == [folder]
    assert RunResult.read(folder).metrics == whole.metrics
    (folder / "result.json").unlink()
    (folder / LAST_CHECKPOINT).unlink()  # as if killed in the first epoch
    assert run_grid([task], root, options=QUICK) == [folder]
    assert RunResult.read(folder).metrics["all"]["mae"] == pytest.approx(whole.metrics["all"]["mae"])


def test_ctrl_c_stops_the_grid_and_not_only_its_run(tmp_path: Path) -> None:
    tasks = grid_tasks(["abalone"], ["vanilla"], 2)

    def press(task: Task, epochs: int) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_grid(tasks, tmp_path, options=QUICK, report=press)
    assert signal.getsignal(signal.SIGINT) is before  # the next one counts, too
    assert [folder.name for folder in tmp_path.glob("abalone/vanilla/*")] == ["seed-0"]
    (folder,) = run_grid(tasks[:1], tmp_path, options=QUICK)
    assert failed([folder]) == []
    assert RunResult.read(folder)


def test_a_run_that_fails_is_recorded_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN", "1")
    tasks = [Task("abalone", "vanilla", 0, (("model.encoder", "tests.bench.stubborn.Raising"),), "raising")]
    tasks += grid_tasks(["abalone"], ["vanilla"], 1)
    told: list[tuple[str, int]] = []
    folders = run_grid(tasks, tmp_path, options=QUICK, report=lambda task, epochs: told.append((task.name, epochs)))
    assert folders[0] == tmp_path / "abalone" / "vanilla,raising" / "seed-0"
    ((folder, failure),) = failed(folders)
    assert folder == folders[0]
    assert (failure.dataset, failure.method, failure.seed) == ("abalone", "vanilla,raising", 0)
    assert failure.error == "RuntimeError: no way"
    assert "and a second line" in failure.traceback
    assert "stubborn.py" in failure.traceback
    assert (folder / "config.yaml").is_file()
    assert not (folder / "result.json").exists()
    assert RunResult.read(folders[1]).method == "vanilla"
    assert sum(epochs for name, epochs in told if name == "vanilla,raising") == 2  # the bar goes on
    monkeypatch.delenv("STUBBORN")
    assert run_grid(tasks, tmp_path, options=QUICK) == folders  # tried again
    assert failed(folders) == []
    assert RunResult.read(folders[0]).method == "vanilla,raising"


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_no_other_with_it(tmp_path: Path) -> None:
    tasks = [Task("abalone", "vanilla", 0, (("model.encoder", "tests.bench.stubborn.Dying"),), "dying")]
    tasks += grid_tasks(["abalone"], ["vanilla", "sqinv"], 1)
    folders = run_grid(tasks, tmp_path, options=QUICK, jobs=2)
    failures = dict(failed(folders))
    assert "BrokenProcessPool" in failures[folders[0]].error
    done = [folder for folder in folders if (folder / "result.json").is_file()]
    assert len(done) + len(failures) == 3
    assert done  # only one other was running at that moment
    run_grid(tasks[1:], tmp_path, options=QUICK)
    assert failed(folders[1:]) == []
    assert not list(tmp_path.rglob(".epochs*"))


def test_options_that_do_not_parse_are_a_failure(tmp_path: Path) -> None:
    (folder,) = run_grid([Task("abalone", "vanilla", 0, (("model.nonsense", 1),))], tmp_path)
    failure = Failure.read(folder)
    assert failure is not None
    assert "--model.nonsense: expected an option of this command, got an unknown one" in failure.error


def test_a_failure_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert Failure.read(tmp_path) is None
    (tmp_path / "failure.json").write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match=r"schema: expected 'conr.failure/1', got 'other'"):
        Failure.read(tmp_path)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "houses.csv"
    path.write_text("\n".join(["area,price", *(f"{row % 40 + row / 100},{row % 40}" for row in range(240))]))
    return path


def test_tables_and_protocols_have_their_own_folders_and_are_not_repeated(houses: Path, tmp_path: Path) -> None:
    table = GridDataset("table", "table-houses", (("data.path", str(houses)), ("data.target", "price")))
    gap = {"protocol": "BlindSpot", "protocol.low": 9, "protocol.high": "10", "protocol.test_per_bin": 2}
    for options, title in ((QUICK, "table-houses"), (QUICK | gap, "table-houses-blind-spot-9-10")):
        tasks = grid_tasks([table], ["vanilla"], 1)
        (folder,) = run_grid(tasks, tmp_path, options=options)
        assert folder == tmp_path / title / "vanilla" / "seed-0"
        assert RunResult.read(folder).dataset == title
        before = (folder / "result.json").stat().st_mtime_ns
        assert run_grid(tasks, tmp_path, options=options) == [folder]
        assert (folder / "result.json").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.glob("*/*/*")) == ["seed-0", "seed-0"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_local_ray_of_two_workers_gives_the_same_numbers(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    tasks = grid_tasks(["abalone"], ["vanilla", "sqinv"], 1)
    here = run_grid(tasks, tmp_path / "here", options=QUICK)
    told: list[tuple[str, int]] = []
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        there = run_grid(
            tasks,
            tmp_path / "there",
            options=QUICK,
            jobs=2,
            backend="ray",
            report=lambda task, epochs: told.append((task.name, epochs)),
        )
    finally:
        ray.shutdown()
    assert failed(there) == []
    assert sum(epochs for _, epochs in told) == 4
    for ours, theirs in zip(here, there, strict=True):
        assert RunResult.read(ours).metrics == RunResult.read(theirs).metrics


def test_a_backend_without_its_extra_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda name: None if name == "ray" else object())
    tasks = grid_tasks(["abalone"], ["vanilla"], 1)
    with pytest.raises(ImportError, match=r"backend 'ray' needs ray, not installed here: pip install 'conr\[ray\]'"):
        run_grid(tasks, tmp_path, backend="ray")
    with pytest.raises(ValueError, match="backend: expected one of 'local', 'ray', got 'rey'; did you mean 'ray'"):
        run_grid(tasks, tmp_path, backend="rey")


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
