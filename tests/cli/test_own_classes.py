"""Which commands look for classes in the current folder."""

import sys
from pathlib import Path

import pytest

from conr.cli.own_classes import find_own_classes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one and Path(one) != tmp_path])
    Path("mine.py").touch()
    Path("mine.csv").touch()
    Path("json.py").touch()
    Path("run").mkdir()
    Path("run/config.yaml").write_text("model:\n  class_path: mine.Module\n")
    Path("settings.yaml").write_text("data:\n  class_path: conr.data.Table\n  init_args:\n    path: mine.csv\n")
    Path("own.yaml").write_text("model:\n  encoder: 'mine.Encoder'\n")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--model.encoder=mine.Encoder"],
        ["fit", "--model.encoder", "mine.inner.Encoder"],
        ["fit", "--trainer.callbacks+=mine.Callback"],
        ["bench", "--data.table-t.views", "{class_path: mine.Views, init_args: {a: 1}}"],
        ["fit", "--config", "own.yaml"],
        ["fit", "--config=own.yaml"],
        ["test", "--run=run"],
        ["fit", "--resume", "run"],
        ["explain", "run"],
        ["table", "fit", "t.csv", "--model", "mine.Model"],
        ["table", "predict", "m", "t.csv", "--trusted", "[mine.Model]"],
    ],
)
def test_a_class_of_the_folder_is_named(words: list[str], folder: Path) -> None:
    find_own_classes(words)
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fit", "--config", "table-conr", "--data.path=mine.csv"],
        ["fit", "--config", "settings.yaml"],
        ["fit", "--model.encoder=conr.models.MLP", "--trainer.max_epochs=2"],
        ["fit", "--model.encoder=json.Encoder"],  # an installed module
        ["fit", "--model.encoder=other.Encoder"],
        ["table", "fit", "mine.csv", "--target", "mine.price", "--out", "mine.model"],
        ["report", "run"],
    ],
)
def test_no_class_of_the_folder_is_named(words: list[str], folder: Path) -> None:
    find_own_classes(words)
    assert str(folder) not in sys.path
