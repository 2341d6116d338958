from pathlib import Path

import pytest

from conr.bench import GridDataset, Task, grid_tasks, read_method_settings, with_method_settings

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
        ("abalone: {conr: {data.batch_size: 3}}", "abalone: conr: expected names that begin with model. or trainer."),
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_method_settings(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no file .*nowhere"):
        read_method_settings(tmp_path / "nowhere.yaml")
