"""Damaged, hostile and foreign checkpoints and configurations of runs."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runs.test_reading import BOMB
from tests.safety.damage import DAMAGES, Hostile, refused
from tests.training.test_command import fit

from conr.cli.main import main
from conr.runs.folder import BEST_CHECKPOINT, CONFIG, LAST_CHECKPOINT, read_config
from conr.training.checkpoints import read_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")  # the runs are copies
QUIET = "--trainer.enable_progress_bar=false"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("runs"), "--trainer.max_epochs=1")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


def commands(run: Path) -> dict[str, tuple[list[str], Path]]:
    """Commands that read a checkpoint, each with that checkpoint."""
    best, last = run / BEST_CHECKPOINT, run / LAST_CHECKPOINT
    return {
        "test": (["test", "--run", str(run), QUIET], best),
        "explain": (["explain", str(run)], best),
        "resume": (["fit", "--resume", str(run), "--trainer.max_epochs=2"], last),
    }


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_runs_no_code(damage: str, run: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = run / BEST_CHECKPOINT
    path.write_bytes(DAMAGES[damage](path.read_bytes(), mark))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"best\.ckpt: expected a checkpoint"):
            read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("verb", ["test", "explain", "resume"])
@pytest.mark.parametrize("damage", ["cut in the middle", "code in torch's own format"])
def test_commands_refuse_it_in_one_line(
    verb: str, damage: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "executed"
    words, path = commands(run)[verb]
    if damage in DAMAGES:
        path.write_bytes(DAMAGES[damage](path.read_bytes(), mark))
    else:
        content = torch.load(path, weights_only=True)
        torch.save({**content, "hyper_parameters": Hostile(mark)}, path)
    history = {file: file.read_bytes() for file in (run / "csv").rglob("*.csv")}
    refused(words, capsys, names=path)
    assert not mark.exists()
    assert not (run / "result.json").exists()
    assert all(file.read_bytes() == before for file, before in history.items())


CHANGES: dict[str, dict[str, Any]] = {
    "no state": {"state_dict": None},
    "a state of numbers": {"state_dict": {"encoder": 1}},
    "weights of another shape": {"state_dict": {"head.linear.weight": torch.zeros(9, 9)}},
    "no weights": {"state_dict": {}},
    "an epoch that is text": {"epoch": "last"},
    "loops of another kind": {"loops": [1, 2]},
    "no optimizer": {"optimizer_states": None},
    "an optimizer of another kind": {"optimizer_states": [{"state": 3}]},
    "schedulers of another kind": {"lr_schedulers": 7},
    "a version that is none": {"pytorch-lightning_version": "none"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_foreign_checkpoint_does_not_resume(change: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, path = commands(run)["resume"]
    content = torch.load(path, weights_only=True)
    changed = {**content, **CHANGES[change]}
    if change == "weights of another shape":
        changed["state_dict"] = {**content["state_dict"], **CHANGES[change]["state_dict"]}
    torch.save(changed, path)
    refused([*words, QUIET], capsys, names=path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"a: [", b"- 1\n", b"3", b"1: 2", b"[" * 5000, BOMB.encode()]
)
def test_a_damaged_configuration_is_named(content: bytes, run: Path) -> None:
    (run / CONFIG).write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.yaml: expected "):
        read_config(run)


@pytest.mark.parametrize("verb", ["test", "explain", "resume"])
def test_commands_refuse_a_configuration_in_one_line(verb: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / CONFIG).write_text(BOMB)
    line = refused(commands(run)[verb][0], capsys, names=run / CONFIG)
    assert "expected at most 100000 values, got 12345" in line


def test_a_typed_configuration_that_grows_by_its_aliases_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    refused(["fit", "--config", str(tmp_path / "bomb.yaml")], capsys, names=tmp_path / "bomb.yaml")


def test_a_configuration_that_names_no_object_runs_nothing(run: Path, tmp_path: Path) -> None:
    """YAML's own tags for code are not followed."""
    mark = tmp_path / "executed"
    (run / CONFIG).write_text(
        f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{mark}]]"
    )
    with pytest.raises(ValueError, match=r"config\.yaml: expected YAML, .*: could not determine a constructor"):
        read_config(run)
    assert not mark.exists()


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - {"empty"}))  # to SQLite, that is a new database
def test_a_damaged_study_is_refused_in_one_line(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    folder = tmp_path / "tuning" / "abalone" / "conr"
    folder.mkdir(parents=True)
    mark = tmp_path / "executed"
    (folder / "study.db").write_bytes(DAMAGES[damage](b"SQLite format 3\x00" + bytes(range(256)) * 40, mark))
    words = ["tune", "--dataset", "abalone", "--trials=1", "--trainer.max_epochs=1", f"--out={tmp_path}"]
    refused(words, capsys, names=folder / "study.db")
    assert not mark.exists()


def test_a_checkpoint_names_no_classes_to_build(run: Path) -> None:
    """Lightning's command line would take its hyper-parameters for settings of the model."""
    path = run / LAST_CHECKPOINT
    named = {"_class_path": "tests.training.toy.Toy", "encoder": {"class_path": "pathlib.Path"}}
    torch.save({**torch.load(path, weights_only=True), "hyper_parameters": named}, path)
    words, _ = commands(run)["resume"]
    assert main([*words, QUIET]) == 0
    assert read_config(run)["model"]["encoder"]["class_path"] == "conr.models.MLP"
