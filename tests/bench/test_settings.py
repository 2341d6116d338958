from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.runs.test_reading import BOMB

from conr.bench import GridDataset, Task, grid_tasks, read_method_settings, with_method_settings
from conr.bench.settings import check_settings

PRESET: dict[str, Any] = {
    "trainer": {"max_epochs": 30, "callbacks": [{"class_path": "EarlyStopping", "init_args": {"patience": 3}}]},
    "model": {"encoder": {"class_path": "conr.models.MLP", "init_args": {"in_features": 10}}},
    "data": {"class_path": "conr.data.Table"},
}
FOUND: dict[str, Any] = {
    "trainer": {
        "max_epochs": 30,
        "limit_train_batches": None,
        "callbacks": [{"class_path": "EarlyStopping", "init_args": {"patience": 3, "mode": "min"}}],
    },
    "model": {"encoder": {"class_path": "conr.models.MLP", "init_args": {"in_features": 10, "hidden": [8, 8]}}},
    "data": {"class_path": "conr.data.table.Table", "init_args": {"path": "houses.csv", "target": -1}},
    "protocol": {"class_path": "conr.data.BlindSpot", "init_args": {"low": 9.0, "high": 10.0}},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(FOUND))
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"trainer.max_epochs": 30},
        {"trainer.max_epochs": "30"},
        {"trainer.max_epochs": "3e1"},
        {"model.encoder.in_features": "auto"},
        {"trainer.limit_train_batches": "null"},
        {"model.encoder.hidden": "[8, 8]"},
        {"model.encoder.init_args.hidden": [8, 8]},
        {"data.path": "houses.csv", "data.target": "-1"},
        {"protocol": "BlindSpot", "protocol.low": "9", "protocol.high": 10},
    ],
)
def test_the_same_settings_however_they_are_typed(run: Path, options: dict[str, Any]) -> None:
    check_settings(run, options, PRESET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainer.max_epochs": "2"}, r"trainer\.max_epochs = 2, got one with 30"),
        ({"trainer.limit_train_batches": 2}, r"limit_train_batches = 2, got one with None"),
        ({"data.path": "other.csv"}, r"data\.path = other\.csv, got one with houses\.csv"),
        ({"protocol": "Extrapolation"}, "protocol = Extrapolation, got one with {'class_path'"),
        ({"model.head": "conr.models.LinearHead"}, r"model\.head = conr\.models\.LinearHead, got one with None"),
    ],
)
def test_other_settings_are_named(run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_settings(run, options, PRESET)


def test_a_run_of_an_earlier_preset_is_not_taken_for_this_one(run: Path) -> None:
    changed = PRESET | {"trainer": {"max_epochs": 60}}
    with pytest.raises(ValueError, match=r"trainer\.max_epochs = 60, got one with 30: name another folder"):
        check_settings(run, {}, changed)
    check_settings(run, {"trainer.max_epochs": 30}, changed)  # what is asked for goes before the preset
    callback = {"class_path": "EarlyStopping", "init_args": {"patience": 4}}
    with pytest.raises(ValueError, match=r"trainer\.callbacks\.0\.init_args\.patience = 4, got one with 3"):
        check_settings(run, {}, PRESET | {"trainer": {"callbacks": [callback]}})


def test_where_nothing_is_anything_can_go(tmp_path: Path) -> None:
    check_settings(tmp_path, {"trainer.max_epochs": 2}, PRESET)


LR, BETA = "model.optimizer.init_args.lr", "model.regularizers.conr.coefficient"


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def options(tasks: list[Task]) -> dict[str, dict[str, object]]:
    return {task.method: dict(task.options) for task in tasks if task.dataset == "abalone"}


def test_a_mix_has_what_holds_for_all_then_its_parts_settings_then_its_own(tmp_path: Path) -> None:
    own = f"sqinv: {{{LR}: 2.0}}\n  conr: {{{BETA}: 3.0}}\n  lds+conr: {{{BETA}: 4.0}}\n"
    file = f"abalone:\n  '*': {{{LR}: 1.0}}\n  {own}"
    settings = read_method_settings(written(tmp_path, file))
    tasks = grid_tasks(["abalone", "rotated-digits"], ["vanilla", "sqinv", "conr", "sqinv+conr", "lds+conr"], 1)
    made = with_method_settings(tasks, settings)
    assert options(made) == {
        "vanilla": {LR: 1.0},
        "sqinv": {LR: 2.0},
        "conr": {LR: 1.0, BETA: 3.0},
        "sqinv+conr": {LR: 2.0, BETA: 3.0},
        "lds+conr": {LR: 1.0, BETA: 4.0},
    }
    assert all(not task.options for task in made if task.dataset == "rotated-digits")


def test_a_datasets_own_options_stay_and_boosting_gets_none() -> None:
    dataset = GridDataset("abalone", "abalone", (("data.batch_size", "32"),))
    made = with_method_settings(grid_tasks([dataset], ["vanilla", "hgb"], 1), {"abalone": {"*": {LR: 1.0}}})
    assert options(made) == {"vanilla": {"data.batch_size": "32", LR: 1.0}, "hgb": {"data.batch_size": "32"}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"abelone": {}}, "settings: expected some for abalone, got them for abelone"),
        ({"abalone": {"cornr": {}}}, "settings: abalone: method: .*'cornr'.*did you mean 'conr'"),
    ],
)
def test_settings_of_nothing_that_runs_are_refused(
    settings: dict[str, dict[str, dict[str, float]]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        with_method_settings(grid_tasks(["abalone"], ["vanilla"], 1), settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abalone: 3", "expected DATASET: {METHOD: {NAME: VALUE}}"),
        ("abalone: {conr: 3}", "expected DATASET: {METHOD: {NAME: VALUE}}"),
        ("abalone: {conr: {", "expected YAML"),
        (BOMB, r"settings\.yaml: expected at most 100000 values, got 12345"),
        ("abalone: {conr: {data.batch_size: 3}}", "abalone: conr: expected names that begin with model. or trainer."),
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_method_settings(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no file .*nowhere"):
        read_method_settings(tmp_path / "nowhere.yaml")
