from pathlib import Path

import numpy as np
import pytest

from conr.bench.datasets import grid_datasets
from conr.cli.main import main
from conr.data import Table
from conr.runs.yaml_text import yaml_text
from conr.tables.typed import column_name, quote_columns, typed_columns
from conr.training.options import RunOptions, expand_presets, plain_config, planned_data

NAMES = ("0x1F", "1e3", "null", "1_0", "2020-01-01", "a: b", "[km/h]")

ROWS = "\n".join(["id,no,1e3,a,price", *(f"{row},{row % 3},{row % 5},{row * 7 % 11},{row % 20}" for row in range(120))])


@pytest.mark.parametrize(
    ("typed", "columns"),
    [
        ("id", ["id"]),
        ("[no]", ["no"]),
        ("[1e3, null]", ["1e3", "null"]),
        ("[-1]", [-1]),
        ("['a, b', c]", ["a, b", "c"]),
        ("""['no', "a, b" , it's]""", ["no", "a, b", "it's"]),
        ("[a, ]", ["a"]),
        ("007", ["007"]),
        ("[0, 10, -2]", [0, 10, -2]),
    ],
)
def test_columns_are_named_as_typed(typed: str, columns: list[int | str]) -> None:
    assert typed_columns([typed]) == columns
    assert typed_columns([]) == typed_columns(["[]"]) == []


def test_a_name_may_stand_in_square_brackets(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    (name,) = typed_columns(["[km/h]"])
    assert column_name(path, ["a", "[km/h]"], "target", name) == "[km/h]"
    assert column_name(path, ["km/h", "[km/h]"], "target", name) == "km/h"


def test_options_of_a_run_hold_names_and_not_what_yaml_reads() -> None:
    options = ["--data.ignore", "[no, 1e3]", "--data.target=[yes]", "--data.sizes=[no]", "--data.ignore=id", "fit"]
    assert quote_columns(options) == [
        *("--data.ignore", '["no", "1e3"]', '--data.target=["yes"]', "--data.sizes=[no]", "--data.ignore=id", "fit"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_the_column_that_is_typed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    others = [one for one in NAMES if one != name]
    rows = (",".join(map(str, [*random.integers(9, size=len(others)), label % 20])) for label in range(120))
    Path("t.csv").write_text("\n".join([",".join([*others, name]), *rows]))
    Path(name.replace("/", "")).write_text("label: a file of the same name\n")
    assert main(["inspect", "t.csv", f"--target={name}", "--ignore", others[0], others[1]]) == 0
    by_hand = [f"--data.target={name}", f"--data.ignore=[{others[0]}, {others[1]}]", "--data.path=t.csv"]
    grid = [f"--{key}={value}" for key, value in grid_datasets([f"table:t.csv:{name}"])[0].options]
    written = ["--config=runs/inspection/t/settings.yaml"]
    for options in (by_hand, grid, written):
        data = planned_data(["--config=table-vanilla", *options])
        assert isinstance(data, Table)
        content = data.content()
        assert content.targets == [name]
        ignored = set() if options is grid else {others[0], others[1]}
        assert set(content.inputs.values) == {*others} - ignored
    run = RunOptions(expand_presets(["--config=table-vanilla", *by_hand]))
    Path("config.yaml").write_text(yaml_text(plain_config(run.parser, run.config)))
    data = planned_data(["--config=config.yaml"])
    assert isinstance(data, Table)
    assert data.content().targets == [name]


@pytest.mark.parametrize("typed", ["id", "[no]", "[1e3]", "[id, no]"])
def test_every_verb_takes_columns_as_typed(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(ROWS)
    ignored = {str(name) for name in typed_columns([typed])}
    assert main(["inspect", "t.csv", "--target=price", f"--ignore={typed}"]) == 0
    for options in ([f"--data.ignore={typed}"], ["--data.ignore", typed], ["--config=runs/inspection/t/settings.yaml"]):
        data = planned_data(["--config=table-vanilla", "--data.path=t.csv", "--data.target=price", *options])
        assert isinstance(data, Table)
        assert ignored.isdisjoint([*data.content().inputs.numbers, *data.content().inputs.categories])
