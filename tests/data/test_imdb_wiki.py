import csv
import math
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
import torch
from tests.data.miniature.images import seen_label
from tests.data.miniature.imdb_wiki import Face, day_number, write_imdb_wiki, write_metadata

from conr.data import ImdbWiki
from conr.data.imdb_wiki import age_in_photo


def test_the_miniature_is_read_whole(tmp_path: Path) -> None:
    data = ImdbWiki(root=write_imdb_wiki(tmp_path), size=8)
    splits = data.splits
    assert [len(split) for split in (splits.train, splits.val, splits.test)] == [40, 15, 15]
    for dataset in (splits.train, splits.val, splits.test):
        for position, name in enumerate(dataset.ids):
            image, label = dataset[position]
            born, taken = name.rsplit("_", 2)[-2:]
            assert int(taken.removesuffix(".jpg")) - int(born[:4]) == label
            assert isinstance(image, torch.Tensor)
            assert seen_label(image, highest=200) == pytest.approx(label.item(), abs=4)
    assert {name.split("/")[0] for name in splits.train.ids} == {"imdb_crop", "wiki_crop"}


@pytest.mark.filterwarnings("ignore:.*list a picture .* again")
def test_the_oldest_share_a_weight_but_not_a_shot_region(tmp_path: Path) -> None:
    root = write_imdb_wiki(tmp_path)
    lines = (root / "imdb_wiki.csv").read_text().splitlines()
    image = lines[1].split(",")[1]
    table = tmp_path / "old.csv"
    rows = (
        [f"125,{image},train"] * 15
        + [f"186,{image},train"] * 25
        + [f"186,{image},{split}" for split in ("val", "test")]
    )
    table.write_text("\n".join(["age,path,split", *rows]))
    data = ImdbWiki(root=root, table=table)
    ages = torch.tensor([125.0, 186.0])
    assert data.splits.bins.index(ages).tolist() == [120, 120]
    assert data.shot_density().regions(ages).tolist() == [2, 1]  # few, median
    table.write_text("\n".join(["age,path,split", *rows, f"201,{image},train"]))
    with pytest.raises(ValueError, match=r"old\.csv, row 44: age: expected a number in \[0, 200\], got '201'"):
        ImdbWiki(root=root, table=table).load()


@pytest.mark.parametrize(
    ("born", "age"),
    [((1980, 1, 1), 30), ((1980, 6, 30), 30), ((1980, 7, 1), 29), ((1980, 12, 31), 29), ((2010, 1, 1), 0)],
)
def test_half_a_year_has_passed_when_a_photograph_is_taken(born: tuple[int, int, int], age: int) -> None:
    assert age_in_photo(day_number(date(*born)), 2010) == age


def test_days_are_counted_as_in_matlab() -> None:
    assert day_number(date(2000, 1, 1)) == 730486  # datenum(2000, 1, 1)
    assert age_in_photo(367, 2000) == 1999  # the first of January of the year 1


@pytest.mark.parametrize("birth", [0, 366, -5, 10**9, math.nan])
def test_a_date_of_birth_that_is_none_gives_no_age(birth: float) -> None:
    assert age_in_photo(birth, 2000) is None


def test_the_csv_file_is_made_from_the_metadata(tmp_path: Path) -> None:
    root = write_imdb_wiki(tmp_path, table=False)
    data = ImdbWiki(root=root, size=8)
    with pytest.raises(FileNotFoundError, match=r"imdb_wiki\.csv, found none; .* prepare_files\(\) make one from"):
        data.load()
    assert data.prepare_files() == [root / "imdb_wiki.csv"]
    splits = data.splits
    counts = [Counter(dataset.labels.int().tolist()) for dataset in (splits.train, splits.val, splits.test)]
    assert counts[1] == counts[2] == {25: 4, 26: 4, 40: 9, 140: 4}
    assert sum(counts, Counter[int]()) == {25: 14, 26: 14, 40: 28, 140: 14}
    for dataset in (splits.train, splits.val, splits.test):
        for name, label in zip(dataset.ids, dataset.labels.tolist(), strict=True):
            born, taken = name.rsplit("_", 2)[-2:]
            assert int(taken.removesuffix(".jpg")) - int(born[:4]) == label
    assert data.prepare_files() == []


def test_only_single_faces_of_a_possible_age_are_kept(tmp_path: Path) -> None:
    born = day_number(date(1970, 2, 3))
    kept = [Face(born, 2000, f"00/{number}.jpg") for number in range(3)] + [
        Face(born, 2000, "00/score-1.jpg", 1.0),
        Face(born, 2000, "00/second-0.jpg", 2.0, 0.0),
        Face(born, 1970, "00/age-0.jpg"),
        Face(born, 2170, "00/age-200.jpg"),
    ]
    dropped = [
        Face(born, 2000, "00/no-face.jpg", -math.inf),
        Face(born, 2000, "00/unclear.jpg", 0.99),
        Face(born, 2000, "00/two.jpg", 3.0, 0.1),
        Face(born, 1969, "00/before.jpg"),
        Face(born, 2171, "00/too-old.jpg"),
        Face(0, 2000, "00/no-birth.jpg"),
    ]
    write_metadata(tmp_path, "imdb", dropped[:3] + kept[:5])
    write_metadata(tmp_path, "wiki", kept[5:] + dropped[3:])
    (table,) = ImdbWiki(root=tmp_path).prepare_files()
    with table.open() as file:
        rows = [(row["path"], row["age"]) for row in csv.DictReader(file)]
    ages = ["30"] * 5 + ["0", "200"]
    assert rows == [
        (f"{'imdb' if row < 5 else 'wiki'}_crop/{face.path}", age)
        for row, (face, age) in enumerate(zip(kept, ages, strict=True))
    ]


def test_missing_or_broken_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected the metadata of the images at .*imdb\.mat, found none"):
        ImdbWiki(root=tmp_path).prepare_files()
    path = write_metadata(tmp_path, "imdb", [Face(day_number(date(1970, 1, 1)), 2000, "00/a.jpg")])
    content = path.read_bytes()
    for broken in (b"", b"no MATLAB file" * 20, content[: len(content) // 2]):
        path.write_bytes(broken)
        with pytest.raises(
            ValueError, match=r"imdb\.mat: expected MATLAB metadata 'imdb' with dob, photo_taken, .*got"
        ):
            ImdbWiki(root=tmp_path).prepare_files()
    write_metadata(tmp_path, "wiki", []).rename(path)
    with pytest.raises(ValueError, match=r"imdb\.mat: expected MATLAB metadata 'imdb'"):
        ImdbWiki(root=tmp_path).prepare_files()
    assert not (tmp_path / "imdb_wiki.csv").exists()
