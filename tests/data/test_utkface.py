import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.miniature.images import seen_label
from tests.data.miniature.utkface import COUNTS, file_name, pack, write_utkface

from conr.data import UTKFace
from conr.data.utkface import even_quotas, hash_split, proportional_quotas
from conr.density import REGIONS
from conr.density.splits import SPLITS

DATA_VARIABLE = "CONR_DATA"
"""Folder of published files; its ``utkface-64/UTKFace.zip``, if the variable is set, is checked."""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "conr" / "pictures"


def faces(root: Path, **settings: Any) -> UTKFace:
    return UTKFace(root=root, size=16, **settings)


def _test_image(data: UTKFace, row: int = 0) -> torch.Tensor:
    image = data.splits.test[row][0]
    assert isinstance(image, torch.Tensor)
    return image


def counts(data: UTKFace) -> dict[str, Counter[int]]:
    return {split: Counter(getattr(data.splits, split).labels.int().tolist()) for split in SPLITS}


@pytest.mark.parametrize("packed", [False, True])
def test_of_each_age_a_quarter_but_at_most_20_goes_to_test_and_to_val(tmp_path: Path, *, packed: bool) -> None:
    data = faces(write_utkface(tmp_path, packed=packed))
    found = counts(data)
    held_out = {0: 2, 26: 20, 40: 10, 90: 1}
    assert found["test"] == found["val"] == held_out
    assert sum(found.values(), Counter[int]()) == Counter(COUNTS)
    for split in SPLITS:
        dataset = getattr(data.splits, split)
        assert [int(name.partition("_")[0]) for name in dataset.ids] == dataset.labels.tolist()
        image, label = dataset[0]
        assert image.shape == (3, 16, 16)
        assert seen_label(image, highest=120) == pytest.approx(label.item(), abs=2.5)


def test_folder_and_archive_give_the_same_split_in_any_order(tmp_path: Path) -> None:
    root = write_utkface(tmp_path)
    from_root, from_folder = faces(root), faces(root / "UTKFace")
    wanted = {split: getattr(from_root.splits, split).ids for split in SPLITS}
    assert {split: getattr(from_folder.splits, split).ids for split in SPLITS} == wanted
    images = [_test_image(from_root, row) for row in range(3)]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        shutil.copytree(root / "UTKFace", tmp_path / str(method) / "UTKFace")
        packed = faces(pack(tmp_path / str(method) / "UTKFace", method=method))
        assert {split: getattr(packed.splits, split).ids for split in SPLITS} == wanted
        assert all(torch.equal(_test_image(packed, row), image) for row, image in enumerate(images))


def test_the_rule_of_the_split() -> None:
    """Digests of names, by hand: the split must be the same in every version."""
    names = [f"30_0_0_{number}.jpg" for number in range(8)]
    rows = {split: members.tolist() for split, members in hash_split(names, [30] * 8).items()}
    assert rows == {"train": [0, 5, 6, 7], "val": [2, 3], "test": [1, 4]}
    backwards = hash_split(names[::-1], [30] * 8)
    assert sorted(7 - backwards["test"]) == rows["test"]


def test_names_that_say_no_age_are_refused_or_left_out(tmp_path: Path) -> None:
    root = write_utkface(tmp_path)
    for name in ("thumbs.jpg", "117_0_0_2017.jpg.chip.jpg"):
        (root / "UTKFace" / name).touch()
    (root / "UTKFace" / "readme.txt").touch()  # no picture
    with pytest.raises(ValueError, match=r"row \d+: expected a name that begins with an age, 0_ to 116_, got 117_0_0"):
        faces(root).load()
    with pytest.warns(UserWarning, match="2 of 172 rows left out"):
        assert len(faces(root, skip_bad=True).splits.test) == 33


def test_copies_count_once_and_those_of_different_ages_not_at_all(tmp_path: Path) -> None:
    folder = write_utkface(tmp_path) / "UTKFace"
    ages = [age for age, count in COUNTS.items() for _ in range(count)]
    first, other = (ages.index(age) for age in (40, 26))
    shutil.copy(folder / file_name(40, first), folder / "40_9.jpg")  # the last by name
    for age in (3, 26):
        shutil.copy(folder / file_name(26, other), folder / f"{age}_9.jpg")
    with pytest.raises(ValueError, match=r"expected one age per picture, got identical 26_.*\.jpg and 3_9\.jpg"):
        faces(tmp_path).load()
    message = r"4 of 173 pictures left out: 1 copies of one that is used, and 3 in 1 groups of copies with different"
    data = faces(tmp_path, skip_bad=True)
    with pytest.warns(UserWarning, match=message):
        found = sum(counts(data).values(), Counter[int]())
    assert found == Counter(COUNTS | {26: COUNTS[26] - 1})
    assert "40_9.jpg" not in {name for split in SPLITS for name in getattr(data.splits, split).ids}
    archive = pack(folder)
    with pytest.warns(UserWarning, match=message):
        assert sum(counts(faces(archive, skip_bad=True)).values(), Counter[int]()) == found


def test_quotas() -> None:
    assert proportional_quotas([60, 30, 10], 50) == [30, 15, 5]
    assert proportional_quotas([3, 3, 3], 4) == [2, 1, 1]
    assert even_quotas([60, 30, 10], 50) == [20, 20, 10]
    assert even_quotas([60, 30, 10], 51) == [21, 20, 10]
    assert even_quotas([60, 30, 10], 100) == [60, 30, 10]


def test_part_of_the_training_split_keeps_its_imbalance_and_its_regions(tmp_path: Path) -> None:
    root = write_utkface(tmp_path)
    whole, part, even = faces(root), faces(root, train_size=50), faces(root, train_size=50, even=True)
    train = counts(whole)["train"]
    assert train == {0: 5, 1: 3, 26: 70, 40: 20, 90: 3, 110: 1, 116: 2}
    assert counts(part)["train"] == {0: 2, 1: 1, 26: 34, 40: 10, 90: 1, 110: 1, 116: 1}
    assert counts(even)["train"] == {0: 5, 1: 3, 26: 18, 40: 18, 90: 3, 110: 1, 116: 2}
    assert (part.title, even.title, whole.title) == ("utkface-dir-50", "utkface-dir-50", "utkface-dir")
    for data in (part, even):
        assert set(data.splits.train.ids) < set(whole.splits.train.ids)
        assert data.splits.test.ids == whole.splits.test.ids
        assert data.problems()[0].endswith("expected 19935 images in train as published, got 104")
        density = data.shot_density()
        assert density.counts.sum() == 50
        assert torch.equal(density.region_of_bin, whole.shot_density().region_of_bin)
    assert REGIONS[int(part.shot_density().region_of_bin[40])] == "median"  # 20 of 104, 10 of 50


def test_impossible_settings_are_refused(tmp_path: Path) -> None:
    root = write_utkface(tmp_path)
    with pytest.raises(ValueError, match="even: expected a train_size to spread evenly, got none"):
        faces(root, even=True)
    with pytest.raises(ValueError, match="train_size: expected at most the 104 there are, got 105"):
        faces(root, train_size=105).load()
    with pytest.raises(ValueError, match="cache: expected a number of at least 0, got -1"):
        faces(root, cache=-1)


def test_other_files_than_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="root: expected a folder of pictures or a zip archive of it, found no"):
        faces(tmp_path / "nothing").load()
    with pytest.raises(ValueError, match=r"expected pictures AGE_\.\.\.\.jpg in it or in its folder UTKFace, found no"):
        faces(tmp_path).load()
    (tmp_path / "UTKFace.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="expected a zip archive, got a damaged or another file"):
        faces(tmp_path / "UTKFace.zip").load()


def test_a_damaged_member_of_an_archive_is_named_with_its_row(tmp_path: Path) -> None:
    archive = write_utkface(tmp_path, packed=True)
    first = faces(archive).splits.train
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo(f"UTKFace/{first.ids[0]}").header_offset + 100
    content[start : start + 50] = bytes(50)
    archive.write_bytes(content)
    message = rf"row \d+: expected a readable image at .*UTKFace\.zip/UTKFace/{first.ids[0]}: .*expected"
    with pytest.raises(ValueError, match=message):
        faces(archive).splits.train[0]


def test_decoded_pictures_are_prepared_in_a_file_until_the_pictures_change(tmp_path: Path, cache_folder: Path) -> None:
    root = write_utkface(tmp_path)
    wanted = [_test_image(faces(root), row) for row in range(33)]
    (made,) = faces(root).prepare_files()
    assert made.parent == cache_folder
    assert faces(root).prepare_files() == []
    names, random = faces(root).splits.test.ids, np.random.default_rng(0)
    for name in names:  # the pictures are not read again: same size, same time, other content
        file = root / "UTKFace" / name
        status = file.stat()
        file.write_bytes(random.bytes(status.st_size))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert all(torch.equal(_test_image(faces(root), row), image) for row, image in enumerate(wanted))
    (root / "UTKFace" / names[0]).touch()
    with pytest.raises(ValueError, match="expected a readable image"):
        faces(root).splits.test[0]


def test_a_damaged_prepared_file_is_not_used(tmp_path: Path) -> None:
    root = write_utkface(tmp_path)
    image = _test_image(faces(root))
    (made,) = faces(root).prepare_files()
    made.write_bytes(made.read_bytes()[:5000])
    with pytest.warns(UserWarning, match="expected prepared pictures, decoding them again"):
        assert torch.equal(_test_image(faces(root)), image)


@pytest.mark.skipif(DATA_VARIABLE not in os.environ, reason="needs the published files")
def test_sizes_and_shot_regions_of_the_published_pictures() -> None:
    data = UTKFace(root=Path(os.environ[DATA_VARIABLE]) / "utkface-64" / "UTKFace.zip")
    assert data.problems() == []
    density = data.shot_density()
    regions = density.region_of_bin[torch.unique(torch.cat([getattr(data.splits, s).labels for s in SPLITS])).long()]
    assert np.bincount(regions.numpy()).tolist() == [53, 26, 24]
