import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.data.miniature.agedb import write_agedb
from tests.data.miniature.images import seen_label
from torch import Tensor
from torch.utils.data import DataLoader

from conr.data import ImageData, ImageDataset, UnreadableImageError
from conr.data.decoding import read_image
from conr.data.image_list import Columns, read_image_table
from conr.density import Bins
from conr.tables.bad_rows import BadRows

COLUMNS = Columns(path="path", labels=["age"], split="split", low=0, high=120)


class Faces(ImageData):
    name = "faces"
    label_name = "age"

    def __init__(self, root: Path, *, columns: Columns = COLUMNS, skip_bad: bool = False, **settings: object) -> None:
        super().__init__(root=root, table="agedb.csv", columns=columns, size=8, skip_bad=skip_bad, **settings)  # type: ignore[arg-type]

    def bins(self, labels: Tensor) -> Bins:
        return Bins.by_width(labels, width=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_agedb(tmp_path)


def _table(root: Path) -> Path:
    return root / "agedb.csv"


def _lines(root: Path) -> list[str]:
    return _table(root).read_text(encoding="utf-8").splitlines()


def _change_row(root: Path, row: int, line: str) -> None:
    lines = _lines(root)
    lines[row - 1] = line
    _table(root).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _image_of_row(root: Path, row: int) -> Path:
    return root / _lines(root)[row - 1].split(",")[1]


def test_every_image_comes_with_its_label(root: Path) -> None:
    splits = Faces(root).splits
    total = 0
    for dataset in (splits.train, splits.val, splits.test):
        for position in range(len(dataset)):
            image, label = dataset[position]
            assert isinstance(image, Tensor)
            assert (image.shape, image.dtype, label.dtype) == ((3, 8, 8), torch.float32, torch.float32)
            assert seen_label(image, highest=120) == pytest.approx(label.item(), abs=2.5)
            assert dataset.ids[position].split("_")[-2] == f"{label.item():.0f}"
            total += 1
    assert (total, len(splits.train), len(splits.val), len(splits.test)) == (70, 42, 14, 14)


def test_an_image_is_resized_by_pillow_and_normalised(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    file = tmp_path / "noise.png"
    Image.fromarray(pixels).save(file)
    expected = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR))  # (16, 16, 3)
    assert np.array_equal(read_image(str(file), size=16).permute(1, 2, 0), expected)
    assert np.array_equal(read_image(str(file), size=30)[:, :, 0].shape, (3, 30))

    table = read_image_table(_one_row(tmp_path, "noise.png"), COLUMNS, BadRows("x", skip=False), tmp_path.joinpath)
    dataset = ImageDataset(table, np.array([0]), size=16, mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.25])
    wanted = (expected / 255 - [0.4, 0.5, 0.6]) / [0.1, 0.2, 0.25]
    np.testing.assert_allclose(dataset[0][0].permute(1, 2, 0), wanted, atol=1e-5)


def _one_row(folder: Path, image: str) -> Path:
    table = folder / "one.csv"
    table.write_text(f"age,path,split\n5,{image},train\n")
    return table


def test_the_aspect_ratio_is_not_kept(tmp_path: Path) -> None:
    half = np.zeros((10, 40), dtype=np.uint8)
    half[:, 20:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    image = read_image(str(tmp_path / "half.png"), size=8, channels=1)
    assert image.shape == (1, 8, 8)
    assert (image[0, :, :3] == 0).all()
    assert (image[0, :, 5:] == 255).all()


@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGB", 1), ("RGBA", 3), ("P", 3), ("CMYK", 3), ("1", 1)])
def test_colour_modes_become_the_wanted_channels(tmp_path: Path, mode: str, channels: int) -> None:
    file = tmp_path / "image.tiff"
    Image.new("RGB", (6, 5), (200, 200, 200)).convert(mode).save(file)
    image = read_image(str(file), size=4, channels=channels)
    assert (image.shape, image.dtype) == ((channels, 4, 4), torch.uint8)


def test_more_than_8_bits_per_channel_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "depth.png"
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(file)
    with pytest.raises(ValueError, match="expected 8 bits per channel, got Pillow's mode 'I;16'"):
        read_image(str(file), size=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_read_as_a_viewer_shows_it(tmp_path: Path, orientation: int) -> None:
    photo = Image.new("RGB", (40, 20))
    photo.paste((255, 0, 0), (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "photo.png", exif=exif)
    shown = ImageOps.exif_transpose(Image.open(tmp_path / "photo.png")).resize((4, 4), Image.Resampling.BILINEAR)
    read = read_image(str(tmp_path / "photo.png"), size=4).permute(1, 2, 0).numpy()
    assert (read == np.asarray(shown)).all()


def test_images_are_not_decoded_before_they_are_asked_for(root: Path) -> None:
    for image in (root / "AgeDB").iterdir():
        image.write_bytes(b"")
    assert len(Faces(root).splits.train) == 42


def _truncated(file: Path) -> bytes:
    content = file.read_bytes()
    return content[: len(content) // 2]


BROKEN: dict[str, Callable[[Path], bytes]] = {
    "truncated": _truncated,
    "empty": lambda _: b"",
    "no image": lambda _: b"<html>404</html>",
}


@pytest.mark.parametrize(("kind", "num_workers"), [*((kind, 0) for kind in BROKEN), ("truncated", 1)])
def test_an_unreadable_image_is_one_error_that_names_file_and_row(root: Path, kind: str, num_workers: int) -> None:
    file = _image_of_row(root, 3)  # in the training split
    file.write_bytes(BROKEN[kind](file))
    loader = DataLoader(Faces(root).splits.train, batch_size=8, num_workers=num_workers)
    with pytest.raises(UnreadableImageError) as caught:
        list(loader)
    message = str(caught.value)
    assert message.startswith(f"{_table(root)}, row 3: expected a readable image at {file}: ")
    assert message.endswith("(check_images looks for such rows before training, skip_bad leaves them out)")
    assert "\n" not in message


def test_the_error_survives_a_process_boundary() -> None:
    error = UnreadableImageError("ages.csv, row 3: bad")
    assert str(pickle.loads(pickle.dumps(error))) == "ages.csv, row 3: bad"  # noqa: S301


def test_an_image_that_vanishes_later_is_named_too(root: Path) -> None:
    train = Faces(root).splits.train
    _image_of_row(root, 2).unlink()
    with pytest.raises(UnreadableImageError, match=r"row 2: expected a readable image at .*No such file"):
        train[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nan,{path},train", r"row 5: age: expected a finite number, got 'nan'"),
        ("inf,{path},train", r"row 5: age: expected a finite number, got 'inf'"),
        ("old,{path},train", r"row 5: age: expected a number, got 'old'"),
        (",{path},train", r"row 5: age: expected a number, got ''"),
        ("121,{path},train", r"row 5: age: expected a number in \[0, 120\], got '121'"),
        ("-1,{path},train", r"row 5: age: expected a number in \[0, 120\], got '-1'"),
        ("30,{path},trian", r"row 5: expected one of the splits train, val, test, got 'trian'"),
        ("30,AgeDB/none.jpg,train", r"row 5: expected an image at .*none.jpg, found none"),
        ("30,AgeDB,train", r"row 5: expected an image at .*AgeDB, found none"),
        ("30,{path}", r"row 5: expected 3 cells like the header, got 2"),
    ],
)
def test_a_bad_row_stops_or_is_left_out(root: Path, line: str, message: str) -> None:
    gone = _lines(root)[4].split(",")[1]
    _change_row(root, 5, line.format(path=gone))
    with pytest.raises(ValueError, match=rf"agedb\.csv, {message} \(skip_bad leaves such rows out\)$"):
        Faces(root).load()
    with pytest.warns(UserWarning, match=rf"agedb\.csv: 1 of 70 rows left out; the first is {message}"):
        splits = Faces(root, skip_bad=True).load()
    ids = splits.train.ids + splits.val.ids + splits.test.ids
    assert len(ids) == 69
    assert gone not in ids
    (problem,) = Faces(root).problems()
    assert problem.startswith(f"{_table(root)}, row 5: ")


def test_unreadable_images_are_left_out_if_asked_for(root: Path) -> None:
    for row in (3, 8):
        _image_of_row(root, row).write_bytes(f"no image {row}".encode())
    with pytest.raises(ValueError, match=r"agedb\.csv, row 3: expected a readable image at .*cannot identify"):
        Faces(root, check_images=True).load()
    with pytest.warns(UserWarning, match=r"agedb\.csv: 2 of 70 rows left out; the first is row 3: expected a readable"):
        splits = Faces(root, skip_bad=True, check_images=True).load()
    assert len(splits.train) + len(splits.val) + len(splits.test) == 68
    for dataset in (splits.train, splits.val, splits.test):
        images = [image for image, _ in DataLoader(dataset)]
        assert len(images) == len(dataset.labels) == len(dataset.ids)
    assert len(Faces(root, skip_bad=True).load().train) == 42  # not looked for: that would take minutes
    assert [problem.split(":")[0] for problem in Faces(root, check_images=True).problems()] == [
        f"{_table(root)}, row 3",
        f"{_table(root)}, row 8",
    ]


def test_rows_are_numbered_as_a_person_counts(root: Path) -> None:
    lines = _lines(root)
    lines.insert(3, "")  # an empty line is no row, but counts
    lines[6] = "nan,x,train"
    _table(root).write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")  # as spreadsheets save it
    with pytest.raises(ValueError, match=r"agedb\.csv, row 7: age: expected a finite number"):
        Faces(root).load()


def test_an_empty_split_names_the_file_and_all_sizes(root: Path) -> None:
    text = _table(root).read_text(encoding="utf-8").replace(",val\n", ",train\n")
    _table(root).write_text(text, encoding="utf-8")
    message = r"agedb\.csv: expected samples in train, val, test, got none in val \(train 56, val 0, test 14\)"
    with pytest.raises(ValueError, match=message):
        Faces(root).load()
    assert len(Faces(root).problems()) == 1


def test_files_without_rows_are_refused(root: Path) -> None:
    _table(root).write_text("age,path,split\n")
    with pytest.raises(ValueError, match=r"agedb\.csv: expected samples in train, val, test, got none in train, val"):
        Faces(root).load()
    _table(root).write_text("")
    with pytest.raises(ValueError, match=r"agedb\.csv: expected a header with path, age, split, got none"):
        Faces(root).load()


@pytest.mark.parametrize("mark", [";", "\t", " , "])
def test_lists_may_have_other_separators_and_spaces(root: Path, mark: str) -> None:
    plain = Faces(root)
    paths = plain.splits.train.ids
    _table(root).write_text(_table(root).read_text().replace(",", mark))
    assert Faces(root).splits.train.ids == paths


def test_an_unknown_column_is_answered_with_the_nearest(root: Path) -> None:
    _change_row(root, 1, "years,path,splits")
    with pytest.raises(ValueError, match=r"agedb\.csv: column: expected one of 'years', 'path', 'splits', got 'age'"):
        Faces(root).load()
    columns = Columns(path="path", labels=["years"], split="split")
    with pytest.raises(ValueError, match=r"agedb\.csv: column: .*, got 'split'; did you mean 'splits'\?"):
        Faces(root, columns=columns).load()


def test_a_file_that_is_no_text_is_refused(root: Path) -> None:
    _table(root).write_bytes(b"age,path,split\n5,\xff\xfe,train\n")
    with pytest.raises(ValueError, match=r"agedb\.csv: expected a CSV file in UTF-8, got a broken one"):
        Faces(root).load()


def test_missing_files_and_folders_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"root: expected the folder of the images, found no folder .*nowhere"):
        Faces(root / "nowhere").load()
    _table(root).unlink()
    with pytest.raises(FileNotFoundError, match=r"expected the list of images at .*agedb\.csv, found none"):
        Faces(root).load()
    assert Faces(root).problems() == [f"expected the list of images at {_table(root)}, found none"]


def test_several_label_columns_and_cells_in_quotes(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a, b.png")
    (tmp_path / "labels.csv").write_text('yaw,file,pitch\n 0.5,"a, b.png",-2e1\n')
    columns = Columns(path="file", labels=["pitch", "yaw"])
    table = read_image_table(tmp_path / "labels.csv", columns, BadRows("x", skip=False), tmp_path.joinpath)
    assert table.labels.tolist() == [[-20.0, 0.5]]
    assert (table.paths, table.rows, table.splits) == (["a, b.png"], [2], [""])


def test_impossible_settings_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="channels: expected 1 or 3, got 4"):
        Faces(root, channels=4)
    with pytest.raises(ValueError, match="mean: expected one number or 3, got 2"):
        Faces(root, mean=[0.5, 0.5]).load()
    with pytest.raises(ValueError, match=r"std: expected positive numbers, got 0\.0"):
        Faces(root, std=0.0).load()
