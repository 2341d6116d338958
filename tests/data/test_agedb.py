import csv
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.data.miniature.agedb import AGES, write_agedb

from conr.data import AgeDB
from conr.data.ages import write_split_ages

DATA_VARIABLE = "CONR_DATA"
"""Folder of published files; its ``agedb-dir/agedb.csv``, if the variable is set, is checked instead of a small one."""


@pytest.fixture(scope="module")
def published() -> Path | None:
    folder = os.environ.get(DATA_VARIABLE)
    return Path(folder) / "agedb-dir" / "agedb.csv" if folder else None


@pytest.fixture(scope="module")
def data(published: Path | None, tmp_path_factory: pytest.TempPathFactory) -> AgeDB:
    """The published CSV file, or a small one by the same rule, with an empty file for each image."""
    root = tmp_path_factory.mktemp("agedb")
    (root / "AgeDB").mkdir()
    table = published or root / "agedb.csv"
    if published is None:
        ages = [1] * 2 + [7] * 7 + [35] * 180 + [50] * 75 + [101] * 4
        write_split_ages(table, ages, [f"AgeDB/{row}_Name_{age}_m.jpg" for row, age in enumerate(ages)], most=30)
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            (root / row["path"]).touch()
    return AgeDB(root=root, table=table)


def _counts(data: AgeDB) -> dict[str, Counter[int]]:
    splits = data.splits
    return {
        split: Counter(dataset.labels.int().tolist())
        for split, dataset in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    }


def test_of_each_age_a_third_but_at_most_30_goes_to_val_and_to_test(data: AgeDB) -> None:
    counts = _counts(data)
    for age, total in sum(counts.values(), Counter[int]()).items():
        held_out = min(total // 3, 30)
        found = [counts[split][age] for split in ("train", "val", "test")]
        assert found == [total - 2 * held_out, held_out, held_out], age


def test_sizes_and_shot_regions_are_the_published_ones(data: AgeDB, published: Path | None) -> None:
    counts = _counts(data)
    sizes = {split: count.total() for split, count in counts.items()}
    test = data.splits.test.labels
    regions = data.shot_density().regions(test).tolist()
    by_region = [
        (len({age for age, r in zip(test.tolist(), regions, strict=True) if r == region}), regions.count(region))
        for region in range(3)
    ]
    common = counts["train"].most_common(1)[0]
    if published is None:  # 35: 120 of 180 train, 50: 25 of 75, 7: 3 of 7, 101: 2 of 4
        assert (sizes, common) == ({"train": 152, "val": 58, "test": 58}, (35, 120))
        assert by_region == [(1, 30), (1, 25), (2, 3)]
    else:
        assert (sizes, common) == (AgeDB.card and AgeDB.card.counts, (35, 353))
        assert (len(counts["train"]), min(counts["train"]), max(counts["train"])) == (100, 1, 101)
        assert (len(counts["test"]), min(counts["test"]), max(counts["test"])) == (92, 3, 95)
        assert by_region == [(51, 1530), (16, 448), (25, 162)]
        assert data.problems() == []


def test_one_bin_per_year_and_the_oldest_share_one(data: AgeDB) -> None:
    bins = data.splits.bins
    assert len(bins) == 121
    assert bins.index(torch.tensor([0.0, 1.0, 35.0, 119.0, 120.0, 150.0])).tolist() == [0, 1, 35, 119, 120, 120]


def test_the_miniature_is_read_whole(tmp_path: Path) -> None:
    data = AgeDB(root=write_agedb(tmp_path), size=16)
    splits = data.splits
    labels = torch.cat([splits.train.labels, splits.val.labels, splits.test.labels])
    assert sorted(labels.tolist()) == AGES
    assert splits.train[0][0].shape == (3, 16, 16)  # type: ignore[union-attr]
    assert data.problems() == [
        f"{tmp_path / 'agedb.csv'}: expected {count} images in {split} as published, got {got}"
        for split, count, got in (("train", 12208, 42), ("val", 2140, 14), ("test", 2140, 14))
    ]


def test_the_csv_file_is_made_from_the_names_of_the_images(tmp_path: Path) -> None:
    data = AgeDB(root=write_agedb(tmp_path, table=False), size=16)
    with pytest.raises(FileNotFoundError, match=r"agedb\.csv, found none; use the published .* prepare_files\(\) make"):
        data.load()
    assert data.prepare_files() == [tmp_path / "agedb.csv"]
    counts = _counts(data)
    assert counts["val"] == counts["test"] == {3: 1, 20: 2, 35: 10, 36: 7, 60: 2, 101: 1}
    assert sum(counts.values(), Counter[int]()) == Counter(AGES)
    splits = data.splits
    for dataset in (splits.train, splits.val, splits.test):
        assert [int(name.split("_")[-2]) for name in dataset.ids] == dataset.labels.tolist()

    written = (tmp_path / "agedb.csv").read_bytes()
    assert data.prepare_files() == []  # a file that is there is never touched
    (tmp_path / "agedb.csv").unlink()
    data.prepare_files()
    assert (tmp_path / "agedb.csv").read_bytes() == written


def test_images_whose_names_say_no_age(tmp_path: Path) -> None:
    folder = write_agedb(tmp_path, table=False) / "AgeDB"
    (folder / "thumbs.jpg").touch()
    (folder / "99_Name_130_m.jpg").touch()
    with pytest.raises(ValueError, match=r"AgeDB, row \d+: expected a name NUMBER_NAME_AGE_SEX\.jpg .*99_Name_130_m"):
        AgeDB(root=tmp_path).prepare_files()
    assert not (tmp_path / "agedb.csv").exists()
    data = AgeDB(root=tmp_path, skip_bad=True)
    with pytest.warns(UserWarning, match="AgeDB: 2 of 72 rows left out"):
        data.prepare_files()
    assert len(data.splits.train) == 70 - 2 * 23


def test_no_images_to_list(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected the images in .*AgeDB, found no such folder"):
        AgeDB(root=tmp_path).prepare_files()
    (tmp_path / "AgeDB").mkdir()
    with pytest.raises(ValueError, match=r"agedb\.csv: expected images to list, found none that can be used"):
        AgeDB(root=tmp_path).prepare_files()
    (tmp_path / "AgeDB" / "1_Name_30_m.jpg").touch()
    with pytest.raises(ValueError, match=r"agedb\.csv: labels: expected a bin of at least 3 samples"):
        AgeDB(root=tmp_path).prepare_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["AgeDB"]


def test_a_name_that_unzip_spelled_differently_is_found_by_its_number(tmp_path: Path) -> None:
    write_agedb(tmp_path)
    table = tmp_path / "agedb.csv"
    line = table.read_text(encoding="utf-8").splitlines()[1]
    age, path, split = line.split(",")
    number, _, rest = Path(path).name.partition("_")
    listed, found = f"AgeDB/{number}_St\u0412phane_{rest}", f"AgeDB/{number}_St\u00e9phane_{rest}"
    (tmp_path / path).rename(tmp_path / found)
    table.write_text(table.read_text(encoding="utf-8").replace(path, listed), encoding="utf-8")
    data = AgeDB(root=tmp_path, size=8)
    assert (split, data.splits.train.ids[0], data.splits.train.labels[0].item()) == ("train", listed, float(age))
    data.splits.train[0]
    (tmp_path / found).unlink()
    with pytest.raises(ValueError, match=r"row 2: expected an image at .*St\u0412phane.*, found none"):
        AgeDB(root=tmp_path).load()
