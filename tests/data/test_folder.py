from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.data.miniature.folder import write_folder
from tests.data.miniature.images import seen_label

from conr.data import ImageFolder


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
