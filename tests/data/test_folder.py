import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.data.miniature.folder import write_folder
from tests.data.miniature.images import seen_label

from conr.data import BlindSpot, ImageFolder
from conr.density.splits import SPLITS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


def folder(root: Path, **changes: Any) -> ImageFolder:
    settings: dict[str, Any] = {"bin_width": 1, "path_column": "file", "label_columns": "weight", "size": 8}
    return ImageFolder(root=root, **(settings | changes))


def test_the_file_s_own_split(root: Path) -> None:
    splits = folder(root, split_column="part").splits
    assert [len(split) for split in (splits.train, splits.val, splits.test)] == [30, 15, 15]
    numbers = [int(name.split()[1].split(".")[0]) for name in splits.val.ids]
    assert numbers == list(range(2, 60, 4))
    for position in range(len(splits.train)):
        image, label = splits.train[position]
        assert isinstance(image, torch.Tensor)
        assert seen_label(image, highest=10) == pytest.approx(label.item(), abs=0.2)


def test_a_balanced_split_by_bins(root: Path) -> None:
    data = folder(root, per_bin=2)
    splits = data.splits
    index = {
        split: Counter(splits.bins.index(getattr(splits, split).labels).tolist()) for split in ("train", "val", "test")
    }
    total = Counter(splits.bins.index(torch.cat([splits.train.labels, splits.val.labels, splits.test.labels])).tolist())
    held_out = {b: min(count // 3, 2) for b, count in total.items() if count >= 3}
    assert index["val"] == index["test"] == held_out
    assert sum(total.values()) == 60
    ids = splits.train.ids + splits.val.ids + splits.test.ids
    assert len(set(ids)) == 60
    assert folder(root, per_bin=2).splits.test.ids == splits.test.ids
    assert folder(root, per_bin=2, data_seed=1).splits.test.ids != splits.test.ids


def test_several_labels(root: Path) -> None:
    data = folder(root, label_columns=["weight", "height"], bin_width=[1, 20], per_bin=1)
    splits = data.splits
    assert splits.train.labels.shape == (len(splits.train), 2)
    assert torch.equal(splits.train.labels[:, 1], -10 * splits.train.labels[:, 0])
    assert splits.bins.shape == (8, 4)
    assert data.label_name == "weight, height"


def test_bins_cover_the_valid_range_if_it_is_given(root: Path) -> None:
    assert folder(root).splits.bins.edges[0].tolist() == list(range(1, 10))
    assert folder(root, low=0, high=20).splits.bins.edges[0].tolist() == list(range(21))
    with pytest.raises(ValueError, match=r"labels\.csv, row \d+: weight: expected a number in \[-inf, 5\], got '9.0'"):
        folder(root, high=5).load()


def test_shot_regions_and_names_may_be_set(root: Path) -> None:
    data = folder(root, many=10, few=5, label_name="mass", label_unit="kg", per_bin=1)
    assert (data.label_name, data.label_unit) == ("mass", "kg")
    density = data.shot_density()
    assert density.region_of_bin.tolist() == [0 if n > 10 else 2 if n < 5 else 1 for n in density.counts.tolist()]
    assert ImageFolder.many == 100


def test_grey_images_with_a_normalisation_of_their_own(root: Path) -> None:
    image, label = folder(root, channels=1, mean=0.0, std=1.0).splits.train[0]
    assert isinstance(image, torch.Tensor)
    assert image.shape == (1, 8, 8)
    assert image.mean().item() * 10 == pytest.approx(label.item(), abs=0.2)


def test_too_few_images_to_split_name_the_file(root: Path) -> None:
    table = root / "labels.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:3]))
    with pytest.raises(ValueError, match=r"labels\.csv: labels: expected a bin of at least 3 samples"):
        folder(root).load()
    assert len(folder(root).problems()) == 1


def test_no_problems(root: Path) -> None:
    assert folder(root, check_images=True).problems() == []


def test_impossible_settings_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="label_columns: expected at least one column, got none"):
        folder(root, label_columns=[])
    with pytest.raises(ValueError, match="per_bin: expected a number of at least 1, got 0"):
        folder(root, per_bin=0)
    with pytest.raises(ValueError, match="many: expected a number of at least 20, got 5"):
        folder(root, many=5)
    with pytest.raises(
        ValueError, match=r"labels\.csv: column: expected one of .*, got 'wight'; did you mean 'weight'"
    ):
        folder(root, label_columns="wight").load()


def write_list(root: Path, rows: list[str]) -> Path:
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n", encoding="utf-8")
    return root


def write_pictures(root: Path, count: int, folder: str = "") -> list[str]:
    (root / folder).mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / folder / f"{number}.png")
    return [f"{folder}{number}.png" for number in range(count)]


def test_copies_of_a_picture_are_reported_and_never_split_apart(tmp_path: Path) -> None:
    """The same path again, and a file of the same bytes: 40 pictures in 90 rows."""
    names = write_pictures(tmp_path, 40)
    for number in range(10):
        shutil.copy(tmp_path / f"{number}.png", tmp_path / f"copy-{number}.png")
    rows = [f"{name},{number % 4}" for number, name in enumerate(names)]
    rows += rows + [f"copy-{number}.png,{number % 4}" for number in range(10)]
    said = r"labels.csv: 50 of 90 rows list a picture \(path or content\) again, first row 42, after row 2$"
    data = ImageFolder(root=write_list(tmp_path, rows), bin_width=1, size=8)
    with pytest.warns(UserWarning, match=said):
        splits = data.splits
    (problem,) = data.problems()
    assert re.search(said, problem)
    pictures = [{name.removeprefix("copy-") for name in part.ids} for part in (splits.train, splits.val, splits.test)]
    assert not pictures[0] & pictures[1] | pictures[0] & pictures[2] | pictures[1] & pictures[2]
    assert sum(map(len, pictures)) == 40
    assert sum(len(part) for part in (splits.train, splits.val, splits.test)) == 90
    drawn = BlindSpot(low=1, high=1, test_per_bin=3).apply(splits)
    ids = [name.removeprefix("copy-") for part in (drawn.train, drawn.val, drawn.test) for name in part.ids]
    assert len(ids) == len(set(ids))


def test_copies_that_a_list_itself_splits_apart_are_counted(tmp_path: Path) -> None:
    names = write_pictures(tmp_path, 6)
    rows = [f"{name},{number},{split}" for name, number, split in zip(names, range(6), 2 * SPLITS, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,split", *rows, "0.png,0,test", "1.png,1,val"]))
    data = ImageFolder(root=tmp_path, bin_width=1, split_column="split", size=8)
    assert data.problems() == [
        (
            f"{tmp_path / 'labels.csv'}: 2 of 8 rows list a picture (path or content) again, first row 8, after row 2; "
            "1 of them lie in another split than before (1 in train and test), so training sees test answers: "
            "leave them out of one of the two, or let the split be drawn, which keeps copies together"
        )
    ]


def test_paths_of_windows_are_read_and_paths_out_of_the_root_refused(tmp_path: Path) -> None:
    names = write_pictures(tmp_path, 12, "pictures/")
    rows = [f"{name},{number % 2}".replace("/", "\\") for number, name in enumerate(names)]
    assert ImageFolder(root=write_list(tmp_path, rows), bin_width=1, size=8).problems() == []
    (tmp_path / "inner").mkdir()
    out = [f"../{row}" for row in rows]
    data = ImageFolder(root=write_list(tmp_path / "inner", out), bin_width=1, size=8)
    with pytest.raises(ValueError, match=r"row 2: expected an image below .*inner, got the path '../pictures"):
        data.load()
    absolute = write_list(tmp_path / "inner", [f"{tmp_path / name},{number}" for number, name in enumerate(names)])
    assert len(ImageFolder(root=absolute, bin_width=1, size=8).problems()) == 13  # and nothing is left
    allowed = ImageFolder(root=write_list(tmp_path / "inner", out), bin_width=1, size=8, outside_root=True)
    assert allowed.problems() == []


def test_a_label_with_an_underscore_is_no_number(tmp_path: Path) -> None:
    names = write_pictures(tmp_path, 12)
    rows = [f"{name},{number % 2}" for number, name in enumerate(names)]
    rows[3] = "3.png,1_1"
    with pytest.raises(ValueError, match="row 5: label: expected a number, got '1_1'"):
        ImageFolder(root=write_list(tmp_path, rows), bin_width=1, size=8).load()
