import json
from pathlib import Path

import pytest

from conr.bench import FACTORS
from conr.cli.main import main

QUICK = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=1",
    "--trainer.accelerator=cpu",
]


def test_an_ablation_is_a_grid_over_settings_with_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ablate", "--dataset", "abalone", "--grid", "window=2", "push=linear", "--seeds=1", "--jobs=1"]
    assert main([*words, "--out", str(tmp_path), *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "3 runs: 1 dataset, 3 methods, 1 seed each" in printed
    assert "6/6 epochs" in printed
    runs = {path.parent.parent.name for path in tmp_path.rglob("result.json")}
    assert runs == {"conr", "conr,window=2", "conr,push=linear"}
    folder = tmp_path / "ablation" / "abalone" / "conr"
    assert {path.name for path in folder.iterdir()} == {"ablation.html", "ablation.json", "window.png", "push.png"}
    content = json.loads((folder / "ablation.json").read_text())
    assert [point["value"] for point in content["factors"]["window"]] == [1.0, 2.0]
    # The runs of the preset are those of a grid in the same folder, and nothing is trained twice.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert main(["bench", "--datasets", "abalone", "--methods", "conr", "--seeds=1", f"--out={tmp_path}", *QUICK]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grid", "windows=1"], "did you mean 'window'"),
        (["--grid", "window=1", "--method", "vanilla"], "grid: expected a method with ConR"),
        (["--grid", "window=1", "--method", "sqinv+corn"], "did you mean 'conr'"),
        ([], "grid: expected settings of ConR, as in --grid window=0.5,1,2"),
    ],
)
def test_what_cannot_run_is_said_before_anything_runs(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ablate", "--dataset", "abalone", f"--out={tmp_path / 'out'}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_names_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ablate", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"settings of ConR ({', '.join(FACTORS)}) one at a time" in printed
