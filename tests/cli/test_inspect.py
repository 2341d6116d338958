"""The command ``conr inspect`` as typed, on small files."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from conr.cli.main import main

ROWS = 400


@pytest.fixture(autouse=True)
def work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fish(rows: int = ROWS, changes: dict[int, str] | None = None, encoding: str = "utf-8") -> Path:
    """A table with semicolons and decimal commas; line numbers count from 1."""
    random = np.random.default_rng(0)
    lines = ["länge;place;empty;gewicht"]
    lines += [f"{a:.4f};{'lake' if a > 1 else 'sea'};1;{a + b:.4f}" for a, b in random.exponential(size=(rows, 2))]
    for number, line in (changes or {}).items():
        lines[number - 1] = line
    path = Path("fish.csv")
    path.write_text("\n".join(lines).replace(".", ","), encoding=encoding)
    return path


def test_what_is_printed_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    fish(encoding="latin-1")
    assert main(["inspect", "fish.csv", "--target", "gewicht", "--few", "10", "--many=30", "--label-unit", "kg"]) == 0
    printed = capsys.readouterr().out
    assert "gewicht (kg): training samples from each label" in printed
    assert "Half of the training rows lie in" in printed
    assert "Too empty to test (fewer than 5 test rows): " in printed
    folder = Path("runs/inspection/fish")
    assert f"conr fit --config {folder / 'settings.yaml'}" in printed
    assert (folder / "inspection.png").read_bytes().startswith(b"\x89PNG")

    found = json.loads((folder / "inspection.json").read_text())
    assert found["rows"] == {"file": ROWS, **{name: found["rows"][name] for name in ("train", "val", "test")}}
    assert sum(found["rows"].values()) == 2 * ROWS
    counts, tested = (np.array(found["bins"][name]) for name in ("train_counts", "test_counts"))
    assert (counts.sum(), tested.sum()) == (found["rows"]["train"], found["rows"]["test"])
    assert found["bins"]["too_empty_to_test"] == np.flatnonzero(tested < 5).tolist()
    few = np.array(found["bins"]["regions"]) == "few"
    assert np.array_equal(few, counts < 10)
    assert found["imbalance"]["few_rows"] == pytest.approx(counts[few].sum() / counts.sum())
    assert found["imbalance"]["ratio"] == counts.max() / counts[counts > 0].min()
    assert found["imbalance"]["half"] < 0.3
    errors = found["imbalance"]["constant_errors"]
    assert errors["few"] > errors["many"]
    assert found["suggestion"]["scheme"] == "sqrt_inverse"
    std = found["training_labels"]["std"]
    one, two = found["suggestion"]["settings"], found["suggestion"]["standardised"]
    assert two["window"] == pytest.approx(one["window"] / std, rel=1e-3)
    assert two["coefficient"] == pytest.approx(one["coefficient"] / std, rel=0.1)


def test_a_run_takes_the_settings() -> None:
    fish()
    words = ["inspect", "fish.csv", "--target=gewicht", "--ignore", "empty", "place", "--bin-width", "0.5"]
    assert main([*words, "--out=here"]) == 0
    quick = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    assert main(["fit", "--config", "here/settings.yaml", *quick]) == 0
    config = yaml.safe_load(Path("runs/table-fish/sqinv+conr/seed-0/config.yaml").read_text())
    assert config["data"]["init_args"]["ignore"] == ["empty", "place"]
    assert config["data"]["init_args"]["bin_width"] == 0.5
    suggested = json.loads(Path("here/inspection.json").read_text())["suggestion"]["standardised"]
    term = config["model"]["regularizers"]["conr"]
    assert term["coefficient"] == suggested["coefficient"]
    window = term["loss"]["init_args"]["window"]
    assert suggested["window"] < window < 1.01 * suggested["window"]


def test_no_inspection_overwrites_another(capsys: pytest.CaptureFixture[str]) -> None:
    fish()
    words = ["inspect", "fish.csv", "--target=gewicht", "--ignore", "empty"]
    assert main(words) == main([*words, "--few=10"]) == main([*words, "--out=here"]) == 0
    first, second = (Path(f"runs/inspection/{name}/inspection.json").read_text() for name in ("fish", "fish-2"))
    assert json.loads(first)["bins"]["regions"] != json.loads(second)["bins"]["regions"]
    settings = Path("here/settings.yaml")
    settings.write_text("mine")
    assert main([*words, "--out=here"]) == 2
    assert "--out: expected a new file or folder, found here" in capsys.readouterr().err
    assert settings.read_text() == "mine"


def test_an_outlier_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    fish(changes={9: "1;sea;1;12345678"})
    assert main(["inspect", "fish.csv", "--target", "gewicht", "--ignore", "empty", "--out=here"]) == 0
    assert "1 row lies far from all others in gewicht: 1.23457e+07, where" in capsys.readouterr().out
    assert json.loads(Path("here/inspection.json").read_text())["outliers"][0]["labels"] == [12345678.0]


def test_several_targets_by_position(capsys: pytest.CaptureFixture[str]) -> None:
    fish()
    assert main(["inspect", "fish.csv", "--target", "0", "-1", "--ignore", "1"]) == 0
    printed = capsys.readouterr().out
    assert "länge, gewicht, 0: training samples" in printed
    assert "cells" in printed
    assert "│ bins " not in printed


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        ({}, ["--target", "gewich"], "got 'gewich'; did you mean 'gewicht'?"),
        ({}, ["--target", "empty"], "column 'empty': expected labels that differ, got 1 in all 60 rows"),
        ({}, ["--target", "place"], "column 'place': expected numbers as labels, got text in 60 of 60 rows, the first"),
        ({9: "1;sea;1;inf"}, ["--target", "gewicht"], "row 9: column 'gewicht': expected a finite number as label"),
        ({9: "inf;sea;1;1"}, ["--target", "gewicht"], "row 9: column 'länge': expected a finite number, got inf"),
        ({9: "long;sea;1;1"}, ["--target", "gewicht"], "row 9: column 'länge': expected a number, got 'long'"),
        ({}, ["--target", "gewicht", "--separator", "tap"], "did you mean 'tab'"),
        ({}, ["--target", "gewicht", "--encoding", "ascii"], "does not fit ascii"),
    ],
)
def test_what_cannot_be_used_is_told(
    changes: dict[int, str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fish(60, changes)
    assert main(["inspect", "fish.csv", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_columns_without_values_and_small_or_missing_files_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    fish(49)
    assert main(["inspect", "fish.csv", "--target", "gewicht"]) == 2
    assert "fish.csv: expected at least 50 rows, got 49" in capsys.readouterr().err
    path = fish(60)
    path.write_text(path.read_text(encoding="utf-8").replace(";1;", ";;"), encoding="utf-8")
    assert main(["inspect", "fish.csv", "--target", "gewicht"]) == 2
    assert "column 'empty': expected values, got none in any row" in capsys.readouterr().err
    assert main(["inspect", "fish.csv", "--target", "empty"]) == 2
    assert "column 'empty': expected numbers as labels, got no value in any row" in capsys.readouterr().err
    assert main(["inspect", "fisch.csv", "--target", "gewicht"]) == 2
    assert "found none at fisch.csv" in capsys.readouterr().err


def test_a_file_without_names_of_columns_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    path = fish(60)
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
    assert main(["inspect", "fish.csv", "--target", "gewicht"]) == 2
    assert "for a file without names set --header false and give positions" in capsys.readouterr().err


def test_many_problems_are_listed_or_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    fish(changes={row: f"{row};sea;1;?" for row in range(10, 40)})
    words = ["inspect", "fish.csv", "--target", "gewicht"]
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert printed.count("expected a finite number as label, got none") == 20
    assert "... and 10 more\n(--skip_bad leaves such rows and columns out, --ignore names" in printed
    with pytest.warns(UserWarning, match=f"fish.csv: 30 of {ROWS} rows left out"):
        assert main([*words, "--skip-bad"]) == 0


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", "--help"])
    assert stopped.value.code == 0
    assert "\n  conr inspect houses.csv --target price\n" in capsys.readouterr().out
