import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib import pyplot as plt
from matplotlib import rcParams

from conr.bench import GridDataset, Task
from conr.bench import tuning as module
from conr.bench.factors import Choices, Range, default_space, point_tasks, preset_point
from conr.bench.tuning import Trial, Tuning, best_trial, default_metric, draw_tuning, tune, write_tuning
from conr.runs.runs import read_runs

ABALONE = GridDataset("abalone", "abalone")
BETA = "model.regularizers.conr.coefficient"


def search(root: Path, **changes: Any) -> Tuning:
    space = {"beta": Range(0.01, 1.0), "weights": Choices(("none", "sqinv"))}
    given: dict[str, Any] = {"metric": "val/mae", "seeds": 1, "space": space, "options": {}} | changes
    return Tuning(dataset=ABALONE, method="conr", root=root, **given)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Runs take no time: their validation error is |log 10 beta| + 1, less with weights; an epoch before is worse."""
    tasks: list[Task] = []

    def train(task: Task, folder: Path, on_epoch: Callable[[int], None]) -> None:
        tasks.append(task)
        options = dict(task.options)
        error = abs(math.log(10 * options[BETA])) + (0.5 if "sqinv" in task.method else 1) + 0.01 * task.seed
        (folder / "csv/version_0").mkdir(parents=True, exist_ok=True)
        (folder / "csv/version_0/metrics.csv").write_text(f"epoch,val/mae\n0,{error + 1}\n1,{error}\n2,{error + 2}\n")
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints/best.ckpt").write_text("")
        (folder / "config.yaml").write_text(yaml.safe_dump({"output": {"method": task.name, "monitor": "val/mae"}}))
        on_epoch(0)
        if options[BETA] == 0.1234:
            raise ValueError("such a beta cannot be")

    monkeypatch.setattr(module, "train_task", train)
    return tasks


def test_the_default_space_lies_around_the_preset() -> None:
    space = default_space(ABALONE, "conr")
    assert space["window"] == Range(0.25, 4.0)
    assert space["beta"] == Range(0.01, 1.0)
    assert space["weights"] == Choices(("none", "sqinv", "inv"))
    assert preset_point(ABALONE, "conr", space) == {"window": 1, "beta": 0.1, "temperature": 0.1, "weights": "none"}
    assert "weights" not in default_space(ABALONE, "sqinv+conr")
    assert "weights" not in default_space(ABALONE, "bmc+conr")
    assert preset_point(ABALONE, "conr", {"beta": Range(2.0, 3.0)}) is None
    with pytest.raises(ValueError, match="expected one with ConR"):
        default_space(ABALONE, "vanilla")
    assert default_metric(ABALONE, "conr") == "val/mae"
    assert default_metric(GridDataset("sts-b-dir", "sts-b-dir"), "conr") == "val/mse"


def test_a_space_lies_around_the_numbers_that_stand_for_auto(tmp_path: Path) -> None:
    path = tmp_path / "ages.csv"
    path.write_text("\n".join(["noise,age", *(f"{row},{row % 50}" for row in range(400))]))
    table = GridDataset("table", "table-ages", (("data.path", str(path)), ("data.target", "age")))
    space = default_space(table, "conr")
    assert isinstance(space["window"], Range)
    point = preset_point(table, "conr", space)
    assert point is not None
    assert point["window"] == pytest.approx(4 * space["window"].low, rel=1e-4)
    assert point["window"] == pytest.approx(1 / math.sqrt((50**2 - 1) / 12), rel=0.05)  # a year, in deviations


def test_a_point_becomes_runs() -> None:
    tasks = point_tasks(ABALONE, "conr", {"window": 2.0, "weights": "sqinv"}, 7, 2)
    assert [(task.preset, task.name, task.seed) for task in tasks] == [
        ("abalone-sqinv+conr", "sqinv+conr,trial-7", seed) for seed in (0, 1)
    ]
    assert tasks[0].options == (("model.regularizers.conr.loss.init_args.window", 2.0),)


def test_a_search_starts_with_the_preset_and_finds_better(tmp_path: Path, trained: list[Task]) -> None:
    tuning = search(tmp_path)
    seen = []
    trials = tune(tuning, trials=25, report=lambda *words: seen.append(words))
    assert trials[0] == Trial(0, {"beta": 0.1, "weights": "none"}, 1.0, "complete")
    best = best_trial(trials)
    assert best.values["weights"] == "sqinv"
    assert best.score is not None
    assert best.score < 0.7
    assert len(trials) == len(trained) == 25
    assert seen[:2] == [(0, 1, 60), (0, 60, 60)]
    # Nothing was tested, and of the checkpoints those of the best are left.
    with pytest.raises(FileNotFoundError):
        read_runs([tmp_path])
    (left,) = tmp_path.rglob("best.ckpt")
    assert left.parts[-4] == f"sqinv+conr,trial-{best.number}"

    configuration, numbers = write_tuning(tuning, trials)
    assert yaml.safe_load(configuration.read_text())["output"]["method"] == "sqinv+conr,tuned"
    content = json.loads(numbers.read_text())
    assert content["best"]["values"] == best.values
    assert content["preset"] == {"beta": 0.1, "weights": "none"}
    assert content["space"] == {"beta": [0.01, 1.0], "weights": {"values": ["none", "sqinv"]}}
    assert len(content["trials"]) == 25
    before = dict(rcParams)
    pictures = draw_tuning(tuning)
    assert [path.name for path in pictures] == ["history.png", "settings.png", "importances.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert dict(rcParams) == before
    assert plt.get_fignums() == []


def test_a_stopped_search_goes_on_as_it_would_have(
    tmp_path: Path, trained: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune(search(tmp_path / "whole"), trials=12)
    tuning = search(tmp_path / "parts")
    tune(tuning, trials=9)

    def stop(number: int, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tuning, trials=12, report=stop)
    assert len(trained) == 12 + 10
    assert tune(tuning, trials=12) == whole
    assert [task.name for task in trained[21:23]] == [trained[21].name] * 2  # the one it was in is done again
    assert tune(tuning, trials=12) == whole
    assert len(trained) == 12 + 9 + 1 + 3


def test_another_search_in_the_folder_is_refused(tmp_path: Path, trained: list[Task]) -> None:
    tune(search(tmp_path), trials=1)
    with pytest.raises(ValueError, match="expected a search with seeds = 2, got one with 1: name another folder"):
        tune(search(tmp_path, seeds=2), trials=1)
    with pytest.raises(ValueError, match=r"expected a search with options = .*max_epochs"):
        tune(search(tmp_path, options={"trainer.max_epochs": "2"}), trials=1)


def test_ctrl_c_stops_the_search_which_then_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"trainer.max_epochs": "2", "trainer.limit_train_batches": "2", "trainer.log_every_n_steps": "1"}
    tuning = search(tmp_path, options=quick)

    def press(number: int, done: int, total: int) -> None:
        if number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tuning, trials=2, report=press)
    assert not list(tmp_path.rglob("failure.json"))
    trials = tune(tuning, trials=2)
    assert [(trial.number, trial.state) for trial in trials] == [(0, "complete"), (1, "complete")]


def test_several_seeds_are_averaged_and_bad_points_get_no_more(tmp_path: Path, trained: list[Task]) -> None:
    trials = tune(search(tmp_path, seeds=2), trials=20)
    assert trials[0].score == pytest.approx(1.005)
    pruned = {trial.number for trial in trials if trial.state == "pruned"}
    assert pruned
    assert len(trained) == 2 * 20 - len(pruned)
    assert best_trial(trials).number not in pruned


def test_the_budget_may_be_time(tmp_path: Path, trained: list[Task]) -> None:
    assert len(tune(search(tmp_path), trials=5, minutes=1e-9)) == 0
    with pytest.raises(ValueError, match="minutes: expected a number above 0"):
        tune(search(tmp_path), minutes=0)
    assert len(tune(search(tmp_path), trials=1)) == 1
    assert [path.name for path in draw_tuning(search(tmp_path))] == ["history.png", "settings.png"]
    with pytest.raises(ValueError, match="expected a complete one, got none"):
        write_tuning(search(tmp_path), [])


def test_a_point_that_fails_is_passed_over(tmp_path: Path, trained: list[Task]) -> None:
    trials = tune(search(tmp_path, space={"beta": Choices((0.1, 0.1234))}), trials=12)
    assert {trial.state for trial in trials} == {"complete", "failed"}
    assert all((trial.score is None) == (trial.values["beta"] == 0.1234) for trial in trials)
    (failure, *_) = tmp_path.rglob("failure.json")
    assert "such a beta cannot be" in failure.read_text()
    with pytest.raises(ValueError, match=r"no point could be trained; .*such a beta cannot be"):
        tune(search(tmp_path / "other", space={"beta": Choices((0.1234,))}), trials=9)
    assert len(trained) == 12 + 2


def test_a_metric_that_is_not_logged_is_told(tmp_path: Path, trained: list[Task]) -> None:
    with pytest.raises(ValueError, match="expected one that is logged and finite, of val/mae, got 'val/mea'"):
        tune(search(tmp_path, metric="val/mea"), trials=3)


def test_weights_must_go_with_the_method(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 'sqnv'"):
        tune(search(tmp_path, space={"weights": Choices(("none", "sqnv"))}))
    with pytest.raises(ValueError, match="expected at least one setting"):
        tune(search(tmp_path, space={}))
