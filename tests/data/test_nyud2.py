import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.data.miniature.nyud2 import FRAME, PER_SCENE, SCENES, write_nyud2

from conr.cli.main import main
from conr.data import NYUD2, BlindSpot
from conr.data.image_views import IMAGENET_MEAN, IMAGENET_STD
from conr.data.nyud2_files import BUCKETS, TEST_CODING, TRAIN_CODING, Coding, Frame, Pair, buckets, nearest_index
from conr.density import REGIONS, DenseWeight, LabelDensity

Array = NDArray[Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nyud2(tmp_path_factory.mktemp("nyud2"))


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    shutil.copytree(written, tmp_path / "copy")
    return tmp_path / "copy"


def small(root: Path, **settings: Any) -> NYUD2:
    return NYUD2(root=root, **FRAME | settings)


def by_hand(path: Path, wanted: tuple[int, int], box: tuple[int, int, int, int], resampling: Image.Resampling) -> Array:
    """What Pillow makes of a file by resize and crop."""
    with Image.open(path) as image:
        return np.asarray(image.resize(wanted, resampling).crop(box))


def test_bucket_and_metres_of_every_number_that_a_file_can_hold_are_the_published_ones() -> None:
    for coding, levels, metres in (
        (TRAIN_CODING, np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.float32) / 255 * 10),
        (TEST_CODING, np.arange(2**16, dtype=np.uint16), np.arange(2**16, dtype=np.float32) / 1000),
    ):
        found = coding.metres(levels)
        assert np.isnan(found[0])
        np.testing.assert_array_equal(found[1:], metres[1:])
        published = [min(int(depth * np.float32(10)), 99) for depth in metres]
        assert buckets(levels, coding).tolist() == [255, *published[1:]]


def test_the_published_sizes(tmp_path: Path) -> None:
    """640 x 480 files become 304 x 228, and 152 x 114 for training."""
    random = np.random.default_rng(0)
    for name, dtype, most in (("colors", np.uint8, 255), ("d8", np.uint8, 255), ("d16", np.uint16, 9999)):
        shape = (480, 640, 3) if name == "colors" else (480, 640)
        Image.fromarray(random.integers(0, most, shape).astype(dtype)).save(tmp_path / f"{name}.png")
    frame = Frame()
    for name, coding in (("d8", TRAIN_CODING), ("d16", TEST_CODING)):
        pair = Pair(tmp_path / "list", 1, 0, "pair", tmp_path / "colors.png", tmp_path / f"{name}.png")
        colors, depth = frame.read(pair, coding)
        box = (8, 6, 312, 234)
        assert colors.shape == (228, 304, 3)
        np.testing.assert_array_equal(colors, by_hand(pair.image, (320, 240), box, Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(depth, by_hand(pair.depth, (320, 240), box, Image.Resampling.NEAREST))
        np.testing.assert_array_equal(depth, frame.read_depth(pair, coding))
    with Image.open(tmp_path / "d8.png") as image:
        small_depth = np.asarray(image.resize((320, 240), 0).crop(box).resize((152, 114), 0))
    levels = frame.read_depth(Pair(tmp_path, 1, 0, "pair", tmp_path, tmp_path / "d8.png"), TRAIN_CODING)
    rows, columns = nearest_index(228, 114), nearest_index(304, 152)
    np.testing.assert_array_equal(levels[rows[:, None], columns], small_depth)


def test_a_portrait_is_scaled_by_its_width(tmp_path: Path) -> None:
    pixels = np.zeros((90, 60), dtype=np.uint8)
    for name in ("image.png", "depth.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    pair = Pair(tmp_path, 1, 0, "pair", tmp_path / "image.png", tmp_path / "depth.png")
    colors, depth = Frame(40, height=50, width=38).read(pair, TRAIN_CODING)
    assert (colors.shape, depth.shape) == ((50, 38, 3), (50, 38))


def test_samples(written: Path) -> None:
    splits = small(written).splits
    assert (len(splits.train), len(splits.val), len(splits.test)) == (24, 8, 8)
    for dataset, size in ((splits.train, (22, 30)), (splits.val, (44, 60)), (splits.test, (44, 60))):
        image, depth = dataset[3]
        assert isinstance(image, torch.Tensor)
        assert (image.shape, image.dtype) == ((3, 44, 60), torch.float32)
        assert (depth.shape, depth.dtype) == ((1, *size), torch.float32)
    assert splits.test.ids[0] == "data/nyu2_test/00000_colors"
    image, depth = splits.train[0]
    stem = written / splits.train.ids[0]
    pixels = by_hand(stem.with_suffix(".jpg"), (64, 48), (2, 2, 62, 46), Image.Resampling.BILINEAR) / 255
    expected = (pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    torch.testing.assert_close(image, torch.from_numpy(expected).permute(2, 0, 1).float(), atol=1e-5, rtol=1e-5)
    levels = by_hand(stem.with_suffix(".png"), (64, 48), (2, 2, 62, 46), Image.Resampling.NEAREST)[1::2, 1::2]
    torch.testing.assert_close(depth[0], torch.from_numpy(levels / 25.5).float())


def test_validation_holds_out_whole_scenes_by_the_seed(written: Path) -> None:
    """Both parts of bedroom_0001 are one scene."""
    held_out = set()
    for seed in range(8):
        splits = small(written, data_seed=seed).splits
        train, val = ({name.split("/")[2] for name in dataset.ids} for dataset in (splits.train, splits.val))
        assert not train & val
        assert sorted(train | val) == sorted(SCENES)
        assert len(splits.train) == PER_SCENE * len(train)
        held_out.add(tuple(sorted(val)))
    assert held_out == {("bedroom_0001a_out", "bedroom_0001b_out"), ("kitchen_0003_out",), ("study_0005_out",)}
    assert small(written, data_seed=3).splits.val.ids == small(written, data_seed=3).splits.val.ids


def test_only_depths_of_070_metres_and_more_are_validated(written: Path) -> None:
    depths = torch.stack([depth for _, depth in small(written).splits.val])  # type: ignore[attr-defined]
    assert depths[~depths.isnan()].min() >= 0.7
    assert all(depth.min() < 0.7 for _, depth in small(written).splits.train)  # type: ignore[attr-defined]


def test_the_made_test_mask_is_balanced_and_kept(root: Path) -> None:
    data = small(root)
    made = data.prepare_files()
    assert [path.name for path in made] == ["test_balanced_mask.npy", "nyu2_train_depth_counts.npz"]
    assert data.prepare_files() == []
    mask = np.load(made[0])
    assert (mask.shape, mask.dtype) == ((8, 44, 60), np.uint8)
    labels = torch.stack([depth for _, depth in small(root).splits.test])  # type: ignore[attr-defined]
    assert torch.equal(labels.isnan().squeeze(1), torch.from_numpy(mask == 0))
    counts = torch.bincount(BUCKETS.index(labels[~labels.isnan()]), minlength=100)
    assert counts[:7].sum() == 0
    assert set(counts[counts > 0].tolist()) == {int(counts[counts > 0].min())}
    everything = torch.cat(
        [
            torch.from_numpy(buckets(Frame(48, 44, 60).read_depth(pair, TEST_CODING), TEST_CODING)).flatten()
            for pair in data.splits.test.pairs  # type: ignore[attr-defined]
        ]
    )
    occupied = torch.bincount(everything.long(), minlength=256)[7:100]
    assert (counts[7:] > 0).tolist() == (occupied > 0).tolist()
    assert counts.max() == occupied[occupied > 0].min()
    made[0].unlink()
    again = torch.stack([depth for _, depth in small(root).splits.test])  # type: ignore[attr-defined]
    assert torch.equal(again.isnan(), labels.isnan())  # rebuilt by the same seed
    other = torch.stack([depth for _, depth in small(root, data_seed=1).splits.test])  # type: ignore[attr-defined]
    assert not torch.equal(other.isnan(), labels.isnan())


def test_training_pixels_are_counted_at_the_size_of_the_images(root: Path) -> None:
    data = small(root)
    expected = np.zeros(100, dtype=int)
    for name in data.splits.train.ids:
        levels = by_hand(root / f"{name}.png", (64, 48), (2, 2, 62, 46), Image.Resampling.NEAREST)
        for level in levels.flatten().tolist():
            expected[min(int(np.float32(level) / 255 * 10 * np.float32(10)), 99)] += level > 0
    assert data.train_counts.tolist() == expected.tolist()
    data.prepare_files()
    for path in (root / "data/nyu2_train").rglob("*.png"):
        path.write_bytes(b"")  # what was kept is enough
    assert small(root).train_counts.tolist() == expected.tolist()
    with pytest.raises(ValueError, match=r"nyu2_train.csv, row \d+: expected a readable image at"):
        small(root, short_side=50).train_counts  # noqa: B018  of another size: counted anew
    (root / "data/nyu2_train_depth_counts.npz").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"npz: expected a complete NumPy archive, got a broken one"):
        small(root).train_counts  # noqa: B018


def test_shot_regions_are_the_published_lists(written: Path) -> None:
    data = small(written)
    regions = [REGIONS[region] for region in data.shot_density().region_of_bin.tolist()]
    many = [bucket for bucket, region in enumerate(regions) if region == "many"]
    median = [bucket for bucket, region in enumerate(regions) if region == "median"]
    assert many == [*range(9, 46), 47, 49]
    assert median == [7, 8, 46, 48, 50, 51, 52, 53, 54, 55, 56, 58, 60, 61, 63]
    assert len(regions) == 100
    density = LabelDensity(scheme="inverse", first_bin=7)
    data.fit_density(density)
    assert density.counts.tolist() == data.train_counts.tolist()
    labels = data.train_labels()
    found = torch.bincount(BUCKETS.index(labels), minlength=100)
    assert (found > 0).tolist() == (data.train_counts > 0).tolist()
    torch.testing.assert_close(found / found.sum(), data.train_counts / data.train_counts.sum(), atol=1e-4, rtol=0)
    kernel = DenseWeight()
    data.fit_density(kernel)
    assert kernel.weights(torch.tensor([9.9])) > kernel.weights(labels.mode().values.view(1))
    metrics = data.metrics(data.shot_density(), "val/")
    metrics.update(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert data.headline in {name.removeprefix("val/") for name in metrics.compute()}


def break_file(root: Path, kind: str) -> tuple[str, str]:  # noqa: PLR0911
    """Break the third training pair; the error's text and what finds it: loading, or reading."""
    folder = root / "data/nyu2_train" / SCENES[0]
    image, depth = folder / "3.jpg", folder / "3.png"
    if kind == "no file":
        depth.unlink()
        return "expected a file at .*3.png, found none", "load"
    if kind == "three cells":
        listed = root / "data/nyu2_train.csv"
        rows = listed.read_text().splitlines()
        rows[2] += ",more"
        listed.write_text("\n".join(rows))
        return "expected the paths of an image and of its depth, got 3 cells", "load"
    if kind == "truncated":
        image.write_bytes(image.read_bytes()[:700])
        return "expected a readable image at .*3.jpg: .*truncated", "read"
    if kind == "no image":
        image.write_text("text")
        return "expected a readable image at .*3.jpg: cannot identify", "read"
    if kind == "other size":
        Image.fromarray(np.ones((61, 80), dtype=np.uint8)).save(depth)
        return "expected image and depth of one size in .*3.jpg and .*3.png, got 80 x 60 and 80 x 61", "read"
    if kind == "16 bits":
        Image.fromarray(np.ones((60, 80), dtype=np.uint16)).save(depth)
        return "expected a depth of Pillow's mode 'L' at .*3.png, got 'I;16'", "read"
    for file in (image, depth):
        Image.fromarray(np.ones((60, 60), dtype=np.uint8)).save(file)
    return "expected at least 60 x 44 pixels once the shorter side of .*3.jpg is 48, got 48 x 48", "read"


KINDS = ("no file", "three cells", "truncated", "no image", "other size", "16 bits", "too small")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*rows left out")
def test_a_row_that_cannot_be_used(root: Path, kind: str) -> None:
    message, found_by = break_file(root, kind)
    where = rf"nyu2_train\.csv, row 3: {message}"
    with pytest.raises(ValueError, match=where):
        small(root, check_images=True).load()
    settings = {"data_seed": 2} if found_by == "read" else {}
    if found_by == "load":
        with pytest.raises(ValueError, match=where):
            small(root).load()
    else:
        train = small(root, **settings).splits.train
        place = train.ids.index(f"data/nyu2_train/{SCENES[0]}/3")
        with pytest.raises(ValueError, match=rf"{where}.* \(check_images looks for such rows before training"):
            train[place]
    data = small(root, skip_bad=True, check_images=True, **settings)
    with pytest.warns(UserWarning, match=r"nyu2_train\.csv: 1 of 32 rows left out; the first is row 3"):
        splits = data.splits
    assert len(splits.train) + len(splits.val) == 31
    assert f"data/nyu2_train/{SCENES[0]}/3" not in [*splits.train.ids, *splits.val.ids]
    problems = small(root, check_images=True).problems()
    assert len(problems) == 3
    assert "nyu2_train.csv, row 3: expected" in problems[0]


def test_problems_of_the_miniature_are_its_sizes(written: Path) -> None:
    problems = small(written, check_images=True).problems()
    assert [problem.split("nyu2_")[-1] for problem in problems] == [
        "train.csv, train: expected 50688 samples as published, got 32",
        "test.csv, test: expected 654 samples as published, got 8",
    ]


def test_a_test_row_left_out_keeps_the_others_at_their_mask(root: Path) -> None:
    data = small(root)
    data.prepare_files()
    expected = data.splits.test[5][1]
    (root / "data/nyu2_test/00002_depth.png").unlink()
    with pytest.warns(UserWarning, match="1 of 8 rows left out"):
        test = small(root, skip_bad=True).splits.test
    assert test.ids[4] == "data/nyu2_test/00005_colors"
    torch.testing.assert_close(test[4][1], expected, equal_nan=True)


def test_empty_rows_are_no_rows(root: Path) -> None:
    listed = root / "data/nyu2_test.csv"
    expected = [depth for _, depth in small(root).splits.test]  # type: ignore[attr-defined]
    listed.write_text(listed.read_text().replace("\n", "\n\n"))
    found = [depth for _, depth in small(root).splits.test]  # type: ignore[attr-defined]
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_files_that_are_missing_or_wrong_as_a_whole(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="root: expected the folder of the folder data, found no folder"):
        small(root / "nowhere").load()
    mask = root / "data/test_balanced_mask.npy"
    np.save(mask, np.ones((8, 44, 61), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"expected a mask of shape \(8, 44, 60\), got \(8, 44, 61\)"):
        small(root).load()
    assert "expected a mask of shape" in small(root).problems()[-1]
    mask.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"expected the balanced test mask in .*npy, got a broken file"):
        small(root).load()
    mask.unlink()
    train, test = (root / f"data/nyu2_{split}.csv" for split in ("train", "test"))
    rows = train.read_text().splitlines()
    train.write_text("\n".join(row for row in rows if "kitchen" in row))
    with pytest.raises(ValueError, match=r"nyu2_train.csv: expected samples in train, val, got none in train"):
        small(root).load()
    train.write_text("\n".join(rows))
    content = test.read_text()
    test.write_text("")
    with pytest.raises(ValueError, match=r"nyu2_test.csv: expected samples in test, got none"):
        small(root).load()
    test.write_bytes(b"\xff\xfe" + content.encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"nyu2_test.csv: expected a CSV file in UTF-8, got a broken one"):
        small(root).load()
    test.unlink()
    with pytest.raises(FileNotFoundError, match=r"expected the list of images and depths at .*nyu2_test.csv"):
        small(root).load()
    assert len(small(root).problems()) == 1


def test_a_protocol_is_refused(written: Path) -> None:
    data = small(written)
    data.protocol = BlindSpot(low=2.0, high=3.0)
    with pytest.raises(ValueError, match="protocol: expected none for dense labels, got 'blind"):
        data.splits  # noqa: B018


def test_the_command_describes_checks_and_prepares(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--root={root}", *(f"--{name}={value}" for name, value in FRAME.items())]
    assert main(["data", "describe", "nyud2-dir", *options]) == 0
    assert "rare" in capsys.readouterr().out
    assert main(["data", "prepare", "nyud2-dir", *options]) == 0
    assert "test_balanced_mask.npy" in capsys.readouterr().out
    assert main(["data", "check", "nyud2-dir", *options]) == 1
    assert "expected 50688 samples as published, got 32" in capsys.readouterr().out


def test_a_mask_needs_a_far_pixel(root: Path) -> None:
    for file in (root / "data/nyu2_test").glob("*_depth.png"):
        Image.fromarray(np.full((60, 80), 300, dtype=np.uint16)).save(file)
    with pytest.raises(ValueError, match=r"expected test pixels of at least 0.7 m, got none"):
        small(root).load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_share": 0.0}, "val_share: expected a number between 0 and 1, got 0.0"),
        ({"data_seed": -1}, "data_seed: expected a number of at least 0"),
        ({"height": 0}, "height: expected a number of at least 1, got 0"),
    ],
)
def test_impossible_settings(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(tmp_path, **settings)


def test_codings_are_those_of_the_card() -> None:
    assert TRAIN_CODING.metres(np.array([255], dtype=np.uint8)).tolist() == [10]
    assert isinstance(TEST_CODING, Coding)
    assert TEST_CODING.metres(np.array([2500], dtype=np.uint16)).tolist() == [2.5]
