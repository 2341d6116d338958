"""The command ``conr data`` as typed, on small files."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.miniature.mpiigaze import make_mpiigaze

from conr.cli.main import main
from conr.data import RegressionData
from conr.data.catalog import DATASETS


@pytest.fixture
def table(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    lines = ["size;weight"] + [f"{a:.2f};{a + b:.2f}".replace(".", ",") for a, b in random.exponential(size=(200, 2))]
    path = tmp_path / "fish.csv"
    path.write_text("\n".join(lines))
    return path


def test_list_names_every_dataset_and_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in DATASETS)
    assert "--path, --target" in " ".join(printed.split())
    assert "nothing" in printed


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    assert "usage: conr data ACTION" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", "table", "--help"])
    assert stopped.value.code == 0
    assert "column of the label, by name or position" in capsys.readouterr().out


def test_describe_says_what_files_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "describe", "table"]) == 0
    printed = capsys.readouterr().out
    assert "licence: yours" in printed
    assert "To see its labels, give its files: --path, --target" in printed


def test_describe_draws_the_labels(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "out" / "labels.png"
    words = ["--path", str(table), "--target=weight", "--few", "5", "--many=30", f"--picture={picture}"]
    assert main(["data", "describe", "table", *words]) == 0
    printed = capsys.readouterr().out
    assert "weight: training samples from each label to the next one shown" in printed
    assert all(f"{glyph} {name}-shot" in printed for glyph, name in zip("█▓▒", ("many", "median", "few"), strict=True))
    assert f"picture: {picture}" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_describe_under_a_protocol(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--path", str(table), "--target", "weight", "--bin-width", "1"]
    protocol = ["--protocol=BlindSpot", "--protocol.low", "1", "--protocol.high=1.995", "--protocol.test-per-bin", "10"]
    assert main(["data", "describe", "table", *words, *protocol]) == 0
    gap = [line for line in capsys.readouterr().out.splitlines() if line.startswith("1 ")]
    assert gap == ["1  0"]


def test_check_is_silent_about_nothing(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "table", "--path", str(table), "--target", "weight"]) == 0
    printed = capsys.readouterr().out
    assert "table-fish: all is well" in printed
    assert "train" in printed


def test_check_says_what_is_wrong_and_skipping_says_how_many(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = table.read_text().splitlines()
    lines[4], lines[8] = "x;1", "1;?"
    table.write_text("\n".join(lines))
    words = ["data", "check", "table", "--path", str(table), "--target", "weight"]
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert f"wrong: {table}, row 5: column 'size': expected a number, got 'x'" in printed
    assert f"wrong: {table}, row 9: column 'weight': expected a finite number as label, got none" in printed
    assert "table-fish: 2 wrong" in printed
    for flag in ("--skip-bad", "--skip_bad=true"):
        with pytest.warns(UserWarning, match="fish.csv: 2 of 200 rows left out; the first is row 5"):
            assert main([*words, flag, "--data-seed", "3"]) == 0


def test_a_check_of_many_problems_lists_the_first_and_counts_all(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = table.read_text().splitlines()
    lines[10:60] = ["1;x"] * 50
    table.write_text("\n".join(lines))
    assert main(["data", "check", "table", "--path", str(table), "--target", "weight"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("wrong: ") for line in printed) == 20
    assert printed[-1] == "table-fish: 50 wrong, of which the first 20 are listed"


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("abalone", "rotated-digits", "table")])
def test_check_of_an_empty_folder_says_what_is_missing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {"folder": ["--bin-width", "1"], "sts-b-dir-bilstm": ["--vectors", f"{tmp_path}/glove.txt"]}
    encoder = ["--encoder", "tests.cli.silent_encoder.SilentEncoder"] if name == "sts-b-dir" else []
    assert main(["data", "check", name, f"--root={tmp_path}", *others.get(name, []), *encoder]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("wrong: ")
    assert str(tmp_path) in printed


def test_describe_names_label_dimensions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_mpiigaze(tmp_path)
    assert main(["data", "describe", "mpiigaze-dir", "--root", str(tmp_path), "--persons=[p00,p01,p02]"]) == 0
    printed = capsys.readouterr().out
    assert "pitch: training samples" in printed
    assert "yaw: training samples" in printed


def test_check_of_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "table", f"--path={tmp_path}/no.csv", "--target=y"]) == 1
    assert f"wrong: expected a CSV or Parquet file, found none at {tmp_path}/no.csv" in capsys.readouterr().out


def test_prepare_names_what_it_made(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data", "prepare", "table", "--path", str(table), "--target", "weight"]
    assert main(words) == 0
    assert "table-fish: nothing to make" in capsys.readouterr().out
    monkeypatch.setattr(RegressionData, "prepare_files", lambda _: [tmp_path / "made.csv"])
    assert main(words) == 0
    assert f"made: {tmp_path}/made.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["describe", "abalon"], "dataset: expected one of"),
        (["describe", "abalon"], "got 'abalon'; did you mean 'abalone'?"),
        (
            ["chek", "abalone"],
            "action: expected one of 'list', 'describe', 'check', 'prepare', got 'chek'; did you mean",
        ),
        (["check"], "conr data check: expected the name of a dataset ("),
        (["check", "abalone", "--data-seed", "-1"], "data_seed: expected a number of at least 0, got -1"),
    ],
)
def test_wrong_words_are_answered(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "abalone", "--sede", "3"]) == 2
    expected = "conr data: --sede: expected an option of this command, got an unknown one"
    assert capsys.readouterr().err.startswith(expected)
