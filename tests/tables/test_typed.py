from pathlib import Path

import pytest

from conr.cli.main import main
from conr.data import Table
from conr.tables.typed import column_name, quote_columns, typed_columns
from conr.training.options import planned_data

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
