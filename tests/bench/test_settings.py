from pathlib import Path
from typing import Any

import pytest
import yaml

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
