from pathlib import Path

import pytest

from conr.bench import GridDataset, grid_datasets, with_options


def table(folder: Path, name: str = "houses.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("area,price\n1,2\n")
    return path


def test_a_preset_and_a_table_as_typed(tmp_path: Path) -> None:
    path = table(tmp_path)
    assert grid_datasets(["abalone", f"table:{path}:price"]) == [
        GridDataset("abalone", "abalone"),
        GridDataset("table", "table-houses", (("data.path", str(path)), ("data.target", "price"))),
    ]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ([], ValueError, "datasets: expected at least one, got none"),
        (["abelone"], ValueError, "did you mean 'abalone'"),
        (["table"], ValueError, r"expected table:FILE:TARGET, as in table:houses.csv:price, got 'table'"),
        (["table:houses.csv"], ValueError, r"expected table:FILE:TARGET"),
        (["table:nowhere.csv:price"], FileNotFoundError, r"found no file nowhere.csv"),
        (["abalone", "abalone"], ValueError, "expected different names, got abalone 2 times"),
    ],
)
def test_what_is_no_dataset(words: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        grid_datasets(words)


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    paths = [table(tmp_path), table(tmp_path, "more/houses.csv")]
    with pytest.raises(ValueError, match="expected different names, got table-houses 2 times"):
        grid_datasets([f"table:{path}:price" for path in paths])


def test_an_option_goes_to_its_dataset_or_to_all() -> None:
    datasets = grid_datasets(["abalone", "sts-b-dir", "sts-b-dir-bilstm"])
    settings = {
        "data.sts-b-dir.root": "here",
        "data.sts-b-dir-bilstm.root": "there",
        "data.sts-b-dir-bilstm.vectors": "glove.txt",
        "data.batch_size": "8",
        "trainer.max_epochs": "2",
    }
    complete, shared = with_options(datasets, settings)
    assert [one.options for one in complete] == [
        (),
        (("data.root", "here"),),
        (("data.root", "there"), ("data.vectors", "glove.txt")),
    ]
    assert shared == {"data.batch_size": "8", "trainer.max_epochs": "2"}


def test_what_a_dataset_cannot_do_without_is_named() -> None:
    datasets = grid_datasets(["sts-b-dir"])
    with pytest.raises(ValueError, match=r"sts-b-dir: expected --data\.sts-b-dir\.root, which it cannot do without"):
        with_options(datasets, {"data.batch_size": "8"})
    assert with_options(datasets, {"data.root": "here"}) == (datasets, {"data.root": "here"})
