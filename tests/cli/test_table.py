import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from conr.cli.main import main
from conr.runs.choice import read_choice
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult

QUICK = ["--model=conr", "--model.max_epochs=3", "--model.members=2", "--model.width=16"]
TREES = ["--model", "sklearn.ensemble.ExtraTreesRegressor", "--model.n_estimators", "5", "--model.min_samples_leaf=2"]


def rows(count: int, *, places: tuple[str, ...] = ("town", "village"), seed: int = 0) -> list[str]:
    source = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        area, place, rooms = 40 + source.exponential(60), source.choice(places), source.choice(["1", "2", ""])
        made.append(f"{area:.4f};{place};{rooms};{3 * area:.0f}")
    return made


def written(path: Path, lines: list[str], header: str = "area;place;rooms;price") -> Path:
    path.write_text("\n".join([header, *lines]))
    return path


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data") / "houses.csv", rows(240))


@pytest.fixture(scope="module")
def model(houses: Path) -> Path:
    folder = houses.parent / "model"
    assert main(["table", "fit", str(houses), "--target", "price", "--out", str(folder), "--unit", "EUR", *QUICK]) == 0
    return folder


def test_fit_leaves_a_model_and_a_run_with_its_report(model: Path) -> None:
    result = RunResult.read(model)
    assert (result.dataset, result.method, result.seed) == ("houses", "sqinv+conr", 0)
    assert result.label == {"name": "price", "unit": "EUR"}
    assert result.epochs == 3
    assert 10 <= result.metrics["all"]["count"] <= 30  # a tenth of the rows, or what balance leaves of it
    outputs = Outputs.read(model)
    assert len(outputs.labels) == result.metrics["all"]["count"]
    assert "price of houses" in (model / "report.html").read_text()
    assert {"model.json", "weights.safetensors", "table.json"} <= {path.name for path in model.iterdir()}
    assert [path.name for path in model.parent.iterdir() if path.name.startswith(".")] == []


def test_a_rerun_of_the_test_rows_gives_the_same_numbers(
    houses: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the report says about held-out rows is what the saved model predicts for them."""
    outputs = Outputs.read(model)
    numbers = [int(name.removeprefix("row-")) for name in outputs.ids]
    lines = houses.read_text().splitlines()
    held_out = written(tmp_path / "held_out.csv", [lines[number - 1] for number in numbers])
    out = tmp_path / "evaluation"
    assert main(["table", "evaluate", str(model), str(held_out), "--out", str(out)]) == 0
    assert "note:" not in capsys.readouterr().out
    again, first = RunResult.read(out), RunResult.read(model)
    assert again.metrics["all"]["mae"] == pytest.approx(first.metrics["all"]["mae"], rel=1e-5)
    assert again.bins == first.bins
    assert (out / "report.html").is_file()


def test_an_evaluation_on_the_training_file_says_so(
    houses: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copy.csv"
    copied.write_bytes(houses.read_bytes())
    assert main(["table", "evaluate", str(model), str(copied), "--out", str(tmp_path / "evaluation")]) == 0
    note = capsys.readouterr().out.splitlines()[0]
    assert note.startswith(f"note: the model was fitted on rows of {copied}")
    assert note.endswith(str(model / "result.json"))


def test_labels_beyond_those_of_training_are_mentioned(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "dear.csv", [*rows(5, seed=2), "90;town;1;99999"])
    assert main(["table", "evaluate", str(model), str(path), "--out", str(tmp_path / "evaluation")]) == 0
    note = capsys.readouterr().out.splitlines()[0]
    assert note.startswith("note: 1 of 6 labels of price lie outside the range of training (")
    assert note.endswith("), the first in row 7")


def test_predict_writes_a_row_for_each_row_whatever_the_order_of_columns(model: Path, tmp_path: Path) -> None:
    lines = rows(12, seed=1)
    plain = written(tmp_path / "plain.csv", lines)
    turned = [",".join([*reversed(line.split(";")[:3]), "x"]) for line in lines]
    other = written(tmp_path / "other.csv", turned, header="rooms,place,area,more")
    for path in (plain, other):
        assert main(["table", "predict", str(model), str(path), "--out", str(path.with_suffix(".out"))]) == 0
    first, second = (
        list(csv.reader((tmp_path / f"{name}.out").read_text().splitlines())) for name in ("plain", "other")
    )
    assert first == second
    assert first[0] == ["row", "prediction"]
    assert [int(row[0]) for row in first[1:]] == list(range(2, 14))
    assert all(0 < float(row[1]) < 5000 for row in first[1:])


@pytest.fixture(scope="module")
def blend(houses: Path) -> Path:
    folder = houses.parent / "blend"
    assert main(["table", "fit", str(houses), "--target", "price", "--out", str(folder), *TREES]) == 0
    return folder


def test_a_blend_says_what_it_chose(blend: Path) -> None:
    result = RunResult.read(blend)
    assert (result.method, result.epochs) == ("rare", 0)
    choice = read_choice(blend)
    assert choice is not None
    assert choice["leaderboard"][0]["name"] == "blend"
    assert {"ExtraTreesRegressor", "ExtraTreesRegressor>linear"} <= {row["name"] for row in choice["leaderboard"]}
    assert choice["intervals"]["all"]["count"] == result.metrics["all"]["count"]
    page = (blend / "report.html").read_text()
    for words in (
        "What rare chose",
        "ExtraTreesRegressor",
        "Common against rare labels",
        "mean width",
        "Predictions: rare",
    ):
        assert words in page


def test_a_blend_tests_again_with_the_same_numbers(houses: Path, blend: Path, tmp_path: Path) -> None:
    numbers = [int(name.removeprefix("row-")) for name in Outputs.read(blend).ids]
    lines = houses.read_text().splitlines()
    held_out = written(tmp_path / "held_out.csv", [lines[number - 1] for number in numbers])
    assert main(["table", "evaluate", str(blend), str(held_out), "--out", str(tmp_path / "again")]) == 0
    again, first = RunResult.read(tmp_path / "again"), RunResult.read(blend)
    assert again.metrics["all"] == pytest.approx(first.metrics["all"])
    assert read_choice(tmp_path / "again") == read_choice(blend)


def test_bounds_of_predictions(blend: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path / "new.csv", rows(200, seed=1)), tmp_path / "out.csv"
    assert main(["table", "predict", str(blend), str(path), "--interval", "0.9", "--out", str(out)]) == 0
    content = list(csv.reader(out.read_text().splitlines()))
    assert content[0] == ["row", "prediction", "low", "high"]
    numbers = np.array(content[1:], dtype=float)
    prices = [float(line.rpartition(";")[2]) for line in rows(200, seed=1)]
    assert np.mean((numbers[:, 2] <= prices) & (prices <= numbers[:, 3])) > 0.8
    assert main(["table", "predict", str(model), str(path), "--interval", "0.9", "--out", str(tmp_path / "x")]) == 2
    assert "interval: expected a model that keeps errors on held-out rows" in capsys.readouterr().err
    assert main(["table", "predict", str(blend), str(path), "--interval", "1.5", "--out", str(tmp_path / "x")]) == 2
    assert "coverage: expected a number below 1, got 1.5" in capsys.readouterr().err


def test_two_targets_and_a_file_without_header(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    lines = [f"{source.random():.3f},{source.random():.3f},{row % 9},{row % 7}" for row in range(150)]
    path = written(tmp_path / "numbers.csv", lines[1:], header=lines[0])
    words = ["table", "fit", str(path), "--target", "[-2, -1]", "--header", "false", "--out", str(tmp_path / "m")]
    assert main([*words, "--ignore", "[column-2]", *QUICK]) == 0
    out = tmp_path / "out.csv"
    assert main(["table", "predict", str(tmp_path / "m"), str(path), "--out", str(out)]) == 0
    content = list(csv.reader(out.read_text().splitlines()))
    assert content[0] == ["row", "prediction of column-3", "prediction of column-4"]
    assert len(content) == 151  # the model knows that such files have no header


@pytest.mark.parametrize(
    "bad",
    [
        ("area;place;rooms;price", rows(60), ["--target", "pric"], "did you mean 'price'"),
        ("area;place;rooms;price", rows(49), ["--target", "price"], "expected at least 50 rows"),
        ("area;price", [f"{row};7" for row in range(60)], ["--target", "price"], "expected labels that differ, got 7"),
        ("area;price", [f"{row};{row}" for row in range(60)] + ["3;many"], ["--target", "price"], "row 62: .*'many'"),
        ("area;price", [f"{row};{row}" for row in range(60)] + ["inf;3"], ["--target", "price"], "row 62: .*finite"),
        ("area;x;price", [f"{row};;{row}" for row in range(60)], ["--target", "price"], "column 'x': expected values"),
        (
            "area;price",
            [f"{row};{row}" for row in range(60)] + ["a;3"],
            ["--target", "price"],
            "'area': expected a num",
        ),
        ("area;price", [f"{row};{row}" for row in range(60)], ["--target", "price", "--test_share=0.7"], "at most 0.5"),
        (
            "area;price",
            [f"{row};{row}" for row in range(60)],
            ["--target", "price", "--model=conr", "--model.max_epoch=3"],
            "'max_epoch'; did you mean 'max_epochs'",
        ),
        (
            "area;price",
            [f"{row};{row}" for row in range(60)],
            ["--target", "price", "--model.objectiv=few"],
            "'objectiv'; did you mean 'objective'",
        ),
        ("area;price", [f"{row};{row}" for row in range(60)], ["--target", "price", "--model=bosting"], "'boosting'"),
        (
            "area;price",
            [f"{row};{row}" for row in range(60)],
            ["--target", "price", "--model=sklearn.linear_model.Rigde"],
            "expected the path of a class, got 'sklearn.linear_model.Rigde'",
        ),
    ],
)
def test_what_cannot_be_fitted_is_said(
    bad: tuple[str, list[str], list[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, lines, options, message = bad
    path = written(tmp_path / "data.csv", lines, header=header)
    out = tmp_path / "model"
    assert main(["table", "fit", str(path), "--out", str(out), *options]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not out.exists()


def test_latin_letters_and_another_separator_are_read(tmp_path: Path) -> None:
    lines = [f"{row}\t{'Zürich' if row % 2 else 'Genève'}\t{row % 20},5" for row in range(120)]
    path = tmp_path / "swiss.csv"
    path.write_bytes("\n".join(["x\tplace\ty", *lines]).encode("latin-1"))
    assert main(["table", "fit", str(path), "--target", "y", "--out", str(tmp_path / "m"), *QUICK]) == 0
    assert RunResult.read(tmp_path / "m").metrics["all"]["mae"] < 20


def test_a_new_category_is_none_of_the_known_or_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tmp_path / "new.csv", rows(5, places=("moon",))), tmp_path / "out.csv"
    words = ["table", "predict", str(model), str(path), "--out", str(out)]
    said = "column 'place': expected a category seen in training ('town', 'village'), got 'moon' and 4 more (rows 2, 3,"
    assert main([*words, "--strict"]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
    with pytest.warns(UserWarning, match=re.escape(said)):
        assert main(words) == 0
    assert len(out.read_text().splitlines()) == 6


def test_nothing_is_overwritten(model: Path, houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    for words in (
        ["fit", str(houses), "--target", "price", "--out", str(model)],
        ["predict", str(model), str(houses), "--out", str(out)],
        ["evaluate", str(model), str(houses), "--out", str(tmp_path)],
    ):
        assert main(["table", *words]) == 2
        assert "nothing is overwritten" in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    "damage",
    [
        ("table.json", "{", "table.json: expected a complete JSON"),
        ("table.json", '{"schema": "other"}', "schema: expected 'conr.table/2', got 'other'"),
        ("table.json", '{"schema": "conr.table/2", "targets": 3}', "table.json: targets: expected a list, got 3"),
        ("weights.safetensors", "broken", "weights.safetensors"),
    ],
)
def test_a_damaged_model_is_refused(
    damage: tuple[str, str, str], model: Path, houses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, message = damage
    place = model.parent / f"damaged-{hash(damage)}"
    damaged = shutil.copytree(model, place)
    (damaged / name).write_text(content)
    assert main(["table", "predict", str(damaged), str(houses), "--out", str(place / "out.csv")]) == 2
    assert message in capsys.readouterr().err


def test_verbs_and_missing_files(houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table"]) == 0
    assert "conr table predict MODEL new.csv" in capsys.readouterr().out
    assert main(["table", "fitt"]) == 2
    assert "did you mean 'fit'" in capsys.readouterr().err
    assert main(["table", "predict", str(tmp_path), str(houses)]) == 2
    assert "expected the folder of a model" in capsys.readouterr().err
