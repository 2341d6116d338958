from pathlib import Path

import pytest

from conr.cli.main import main


def test_demo_trains_compares_and_writes_its_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One epoch and one seed of the real thing, with two processes."""
    out = tmp_path / "demo"
    command = ["demo", "--epochs=1", "--seeds=1", "--jobs=2", f"--out={out}"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "2/2 epochs" in printed
    assert "3 of 3, hgb+inv" in printed
    assert printed.index("What happened to the rare labels") > printed.index("blend: ")
    for words in ("rotated-digits", "sea-snails", "RareRegressor", "Common labels"):
        assert words in printed
    page = (out / "report.html").read_text()
    assert page.index("Rare labels") < page.index("Common against rare labels") < page.index('id="dataset-1"')
    assert "old snails are rare" in page
    assert "Features: conr, seed 0" in page
    assert "Not drawn" not in page
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "rotated-digits" / "conr" / "seed-0" / "result.json").is_file()
    assert main(command) == 0
    assert "is there already" in capsys.readouterr().out


def test_demo_refuses_runs_of_other_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rotated-digits" / "vanilla" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("trainer:\n  max_epochs: 7\n")
    assert main(["demo", "--epochs=1", f"--out={tmp_path}"]) == 2
    assert "expected a run with trainer.max_epochs = 1, got one with 7" in capsys.readouterr().err


def test_quick_and_full_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--quick", "--full"]) == 2
    assert "--quick: expected it without --full, got both" in capsys.readouterr().err
