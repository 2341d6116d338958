from pathlib import Path

import pytest

from conr.cli.main import main


def test_demo_trains_compares_and_writes_its_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One epoch and one seed of the real thing, with two processes."""
    out = tmp_path / "demo"
    assert main(["demo", "--epochs=1", "--seeds=1", "--jobs=2", f"--out={out}"]) == 0
    printed = capsys.readouterr().out
    assert "2/2 epochs" in printed
    assert "MAE of angle in degrees" in printed
    page = (out / "report.html").read_text()
    assert "rotated-digits" in page
    assert "Features: conr, seed 0" in page
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "rotated-digits" / "conr" / "seed-0" / "result.json").is_file()


def test_demo_refuses_runs_of_other_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rotated-digits" / "vanilla" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("trainer:\n  max_epochs: 7\n")
    assert main(["demo", "--epochs=1", f"--out={tmp_path}"]) == 2
    assert "expected a run with trainer.max_epochs = 1, got one with 7" in capsys.readouterr().err
