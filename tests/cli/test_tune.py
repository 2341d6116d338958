import json
from pathlib import Path

import pytest
import yaml

from conr.cli.main import main
from conr.runs.runs import read_runs

QUICK = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
]


def test_a_search_is_made_longer_and_its_settings_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "tune",
        "--dataset",
        "abalone",
        "--space",
        "window=1..4",
        "weights=none,sqinv",
        *QUICK,
        "--metric=val/bmae",
    ]
    assert main([*words, "--trials=1"]) == 0
    assert main([*words, "--trials=2"]) == 0
    printed = capsys.readouterr().out
    assert "2 points, 1 seed each, by val/bmae" in printed
    folder = Path("runs/tuning/abalone/conr")
    assert f"conr fit --config {folder / 'best.yaml'}" in printed
    names = {"best.yaml", "history.png", "settings.png", "study.db", "tuning.json"}
    assert {path.name for path in folder.iterdir()} == names
    content = json.loads((folder / "tuning.json").read_text())
    assert [trial["number"] for trial in content["trials"]] == [0, 1]
    with pytest.raises(FileNotFoundError):
        read_runs([Path("runs")])  # nothing was tested
    assert main(["fit", "--config", str(folder / "best.yaml"), "--trainer.enable_progress_bar=false"]) == 0
    (trained,) = Path("runs/abalone").glob("*tuned/seed-0/config.yaml")
    config = yaml.safe_load(trained.read_text())
    loss = config["model"]["regularizers"]["conr"]["loss"]["init_args"]
    assert loss["window"] == content["best"]["values"]["window"]
    assert config["output"]["monitor"] == "val/bmae"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "windw=1..2"], "did you mean 'window'"),
        (["--method", "vanilla"], "method: expected one with ConR"),
        (["--trials", "0"], "trials: expected a number of at least 1"),
    ],
)
def test_what_cannot_run_is_said_before_anything_runs(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--dataset", "abalone", f"--out={tmp_path / 'out'}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "--help"])
    assert "\n  conr tune --dataset table:houses.csv:price --trials 30\n" in capsys.readouterr().out
