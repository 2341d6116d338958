import math
import os
import re
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat
from scipy.spatial.transform import Rotation
from tests.data.miniature.mpiigaze import (
    PERSONS,
    Eye,
    draw_eye,
    gaze_direction,
    make_mpiigaze,
    rotation_vector,
    write_day,
)

from conr.data import MPIIGaze, Splits
from conr.data.mpiigaze import split_eyes
from conr.data.mpiigaze_files import gaze_angles, head_angles

SPLITS = ("train", "val", "test")


def dataset(root: Path, **settings: Any) -> MPIIGaze:
    return MPIIGaze(str(root), **{"persons": PERSONS} | settings)


def list_of(root: Path, person: str) -> Path:
    return root / "Evaluation Subset" / "sample list for eye image" / f"{person}.txt"


def day_of(root: Path, person: str, day: str) -> Path:
    return root / "Data" / "Normalized" / person / f"{day}.mat"


def pictures_of(ids: list[str]) -> set[str]:
    return {name.split()[0] for name in ids}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Eye]]:
    root = tmp_path_factory.mktemp("MPIIGaze")
    return root, make_mpiigaze(root)


@pytest.fixture(scope="module")
def splits(whole: tuple[Path, list[Eye]]) -> Splits:
    return dataset(whole[0]).splits


@pytest.fixture
def root(whole: tuple[Path, list[Eye]], tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole[0], tmp_path / "MPIIGaze"))


def test_every_listed_eye_is_read_as_it_was_drawn(whole: tuple[Path, list[Eye]], splits: Splits) -> None:
    """Right eyes mirrored, among them some of days with a single picture."""
    truth = {eye.name: eye for eye in whole[1]}
    days = Counter(name.rpartition("/")[0] for name in truth)
    assert {days[f"{person}/day02"] for person in PERSONS} == {1}
    seen = []
    for split in SPLITS:
        part = getattr(splits, split)
        for position, name in enumerate(part.ids):
            inputs, label = part[position]
            assert isinstance(inputs, dict)
            assert (inputs["image"].shape, inputs["pose"].shape, label.shape) == ((1, 36, 60), (2,), (2,))
            assert inputs["image"].dtype is inputs["pose"].dtype is label.dtype is torch.float32
            np.testing.assert_allclose(label, truth[name].gaze, atol=1e-6)
            np.testing.assert_allclose(inputs["pose"], truth[name].pose, atol=1e-6)
            np.testing.assert_array_equal((inputs["image"][0] * 255).round(), truth[name].image)
            assert torch.equal(part.labels[position], label)
        seen += part.ids
    assert len(set(seen)) == len(seen)
    assert any(name.endswith("left") for name in seen)
    assert any(name.endswith("right") for name in seen)
    assert any("/day02/" in name for name in seen)
    # What is left out are the other eyes of pictures that are held out.
    held_out = pictures_of(splits.val.ids + splits.test.ids)
    missing = set(truth) - set(seen)
    assert missing
    assert pictures_of(list(missing)) <= held_out


def test_the_miniature_is_in_the_format_of_the_real_files(whole: tuple[Path, list[Eye]]) -> None:
    content = loadmat(day_of(whole[0], "p00", "day01"), squeeze_me=True, struct_as_record=False)
    count = len(content["filenames"])
    assert count > 10
    for side in ("left", "right"):
        eyes = getattr(content["data"], side)
        assert (eyes.image.shape, eyes.gaze.shape, eyes.pose.shape) == ((count, 36, 60), (count, 3), (count, 3))
        assert eyes.image.dtype == np.uint8
    single = loadmat(day_of(whole[0], "p00", "day02"), squeeze_me=True, struct_as_record=False)
    assert single["filenames"] == "0001.jpg"
    assert single["data"].left.image.shape == (36, 60)


def test_angles_of_gaze_by_hand() -> None:
    directions = np.array([[0, 0, -1], [0, -1, 0], [-1, 0, -1], [1, 1, -math.sqrt(2)], [0, 0, -7]], dtype=float)
    expected: list[list[float]] = [[0, 0], [90, 0], [0, 45], [-30, -math.degrees(math.atan2(1, math.sqrt(2)))], [0, 0]]
    found = np.degrees(gaze_angles(directions))
    found[1, 1] = 0  # straight up, yaw says nothing
    np.testing.assert_allclose(found, expected, atol=1e-12)
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 2))
    np.testing.assert_allclose(gaze_angles(np.array([gaze_direction(*one) for one in angles])), angles, atol=1e-12)


def test_angles_of_the_head_are_where_the_rotation_takes_the_z_axis() -> None:
    rotations = np.random.default_rng(0).normal(size=(200, 3))
    rotations[0], rotations[1], rotations[2] = 0, (math.pi, 0, 0), (0, 1e-9, 0)
    x, y, z = Rotation.from_rotvec(rotations).as_matrix()[:, :, 2].T
    np.testing.assert_allclose(head_angles(rotations), np.stack((np.arcsin(y), np.arctan2(x, z)), axis=1), atol=1e-7)
    np.testing.assert_allclose(head_angles(rotation_vector(0.3, -0.8)[None]), [[0.3, -0.8]], atol=1e-12)


@pytest.mark.parametrize("wrong", [(0, 0, 0), (math.nan, 0, 1), (0, math.nan, 1), (0, 0, math.nan), (math.inf, 0, 0)])
def test_a_vector_that_is_no_direction_has_no_angles(wrong: tuple[float, float, float]) -> None:
    vectors = np.array([wrong, (0, 0, -1)])
    assert not np.isfinite(gaze_angles(vectors)[0]).all()
    assert np.isfinite(gaze_angles(vectors)[1]).all()
    if any(wrong):
        assert not np.isfinite(head_angles(vectors)[0]).all()


def test_of_each_cell_a_third_but_at_most_ten_is_held_out(whole: tuple[Path, list[Eye]], splits: Splits) -> None:
    cells = {
        split: Counter(splits.bins.index(getattr(splits, split).labels).tolist()) for split in ("train", "val", "test")
    }
    all_labels = torch.tensor([eye.gaze for eye in whole[1]], dtype=torch.float32)
    for cell, total in Counter(splits.bins.index(all_labels).tolist()).items():
        held_out = min(total // 3, 10)
        assert cells["test"][cell] == held_out
        assert held_out - 3 <= cells["val"][cell] <= held_out  # three pictures have two listed eyes
        assert cells["train"][cell] >= total - 2 * held_out - 3
    assert set(dataset(whole[0]).shot_density().regions(splits.test.labels).tolist()) == {0, 1, 2}


def test_no_picture_is_in_two_splits(whole: tuple[Path, list[Eye]]) -> None:
    for seed in range(5):
        parts = [pictures_of(getattr(dataset(whole[0], data_seed=seed).splits, split).ids) for split in SPLITS]
        assert len(set.union(*parts)) == sum(map(len, parts))


def test_split_of_pictures_with_two_eyes() -> None:
    """Twelve pictures, both eyes of each in the same cell: 8 eyes of 24 to val and test, and never a picture apart."""
    ids = np.array([f"p00/day01/{number:04d}.jpg {side}" for number in range(12) for side in ("left", "right")])
    parts = split_eyes(ids, np.zeros(24, int), most=10, held_out_persons=0, random=np.random.default_rng(0))
    assert len(parts["test"]) == 8
    pictures = {split: {row // 2 for row in rows} for split, rows in parts.items()}
    assert pictures["test"].isdisjoint(pictures["val"] | pictures["train"])
    assert pictures["val"].isdisjoint(pictures["train"])
    for row in set(range(24)) - set(np.concatenate(list(parts.values())).tolist()):
        assert row // 2 in pictures["test"] | pictures["val"]


def test_persons_can_be_held_out(whole: tuple[Path, list[Eye]]) -> None:
    data = dataset(whole[0], held_out_persons=1, most=4)
    persons = {split: {name[:3] for name in getattr(data.splits, split).ids} for split in SPLITS}
    assert sorted(person for members in persons.values() for person in members) == list(PERSONS)
    assert all(len(members) == 1 for members in persons.values())
    for split in ("val", "test"):
        (person,) = persons[split]
        labels = torch.tensor([eye.gaze for eye in whole[1] if eye.name.startswith(person)], dtype=torch.float32)
        available = Counter(data.splits.bins.index(labels).tolist())
        used = Counter(data.splits.bins.index(getattr(data.splits, split).labels).tolist())
        assert used == {cell: min(count, 4) for cell, count in available.items()}
    (person,) = persons["train"]
    assert len(data.splits.train) == sum(eye.name.startswith(person) for eye in whole[1])
    drawn = {tuple(dataset(whole[0], held_out_persons=1, data_seed=seed).splits.test.ids) for seed in range(6)}
    assert len(drawn) > 1


def test_cells_have_the_wanted_width_in_radians_and_take_what_lies_beyond(whole: tuple[Path, list[Eye]]) -> None:
    bins = dataset(whole[0]).splits.bins
    assert bins.shape == (30, 30)
    np.testing.assert_allclose(np.degrees(bins.edges[0].numpy()), np.arange(-30, 31, 2), atol=1e-9)
    far = torch.deg2rad(torch.tensor([[40.0, -80.0], [29.0, -29.0]]))
    assert bins.index(far)[0] == bins.index(far)[1]
    assert dataset(whole[0], cell_degrees=7).splits.bins.shape == (9, 9)


def test_the_seed_of_the_data_alone_decides(whole: tuple[Path, list[Eye]], splits: Splits) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = dataset(whole[0]).splits
    assert torch.equal(torch.get_rng_state(), before)
    for split in SPLITS:
        assert getattr(again, split).ids == getattr(splits, split).ids
    assert dataset(whole[0], data_seed=1).splits.test.ids != splits.test.ids


def test_batches_hold_several_inputs(whole: tuple[Path, list[Eye]]) -> None:
    inputs, labels = next(iter(dataset(whole[0], batch_size=5).train_dataloader()))
    assert {name: tuple(value.shape) for name, value in inputs.items()} == {"image": (5, 1, 36, 60), "pose": (5, 2)}
    assert labels.shape == (5, 2)


@pytest.mark.parametrize("missing", ["everything", "folder", "list", "mat"])
def test_missing_files_are_named(root: Path, missing: str) -> None:
    list_path, day_path = list_of(root, "p01"), day_of(root, "p01", "day02")
    if missing == "everything":
        with pytest.raises(
            FileNotFoundError, match=re.escape("root: expected the folder of MPIIGaze, found no folder")
        ):
            dataset(root / "typo").splits  # noqa: B018
    elif missing == "folder":
        day_path.parent.rename(root / "elsewhere")
        with pytest.raises(FileNotFoundError, match=re.escape(f"of p01, found no folder {day_path.parent}")):
            dataset(root, skip_bad=True).splits  # noqa: B018
    elif missing == "list":
        list_path.unlink()
        with pytest.raises(FileNotFoundError, match=re.escape(f"of p01, found no file {list_path}")):
            dataset(root, skip_bad=True).splits  # noqa: B018
    else:
        day_path.unlink()
        with pytest.raises(
            ValueError, match=re.escape(f"{list_path}, row 4: expected the day's pictures in {day_path}")
        ):
            dataset(root).splits  # noqa: B018


def damage(root: Path, kind: str) -> tuple[int, str]:
    """Make the line of p01's list whose number is returned unusable; also returns what is said about it."""
    list_path, day_path = list_of(root, "p01"), day_of(root, "p01", "day02")
    lines = list_path.read_text().splitlines()
    if kind in ("no image", "no side", "no path"):
        broken = {"no image": "day02/0777.jpg left", "no side": "day02/0001.jpg", "no path": "0001.jpg left"}[kind]
        list_path.write_text("\n".join([*lines[:2], broken, *lines[2:]]) + "\n")
        about = {
            "no image": f"expected a picture of {day_path}, got '0777.jpg', which it lacks",
            "no side": "expected 'dayNN/NAME.jpg left|right', got 'day02/0001.jpg'",
            "no path": "expected 'dayNN/NAME.jpg left|right', got '0001.jpg left'",
        }
        return 3, about[kind]
    if kind in ("truncated", "no matlab", "empty"):
        held = day_path.read_bytes()
        day_path.write_bytes({"truncated": held[: len(held) // 2], "no matlab": b"damage" * 99, "empty": b""}[kind])
        return 4, f"expected a complete MATLAB file, got {day_path}, which is broken: "
    what = ""
    gaze, pose = np.array([0.1, 0.2]), np.array([0.0, 0.0])
    if kind == "nan gaze":
        gaze[0] = math.nan
        what = (
            "expected a gaze direction and a head pose, got [nan, nan, nan] and [0.0, 0.0, 0.0] of p01/day02/0001.jpg"
        )
    elif kind == "nan pose":
        pose = np.array([math.nan, 0.0])
        what = "expected a gaze direction and a head pose, got [-0."
    write_day(day_path, [{"left": (gaze, pose), "right": (gaze, pose)}])
    if kind == "other content":
        savemat(day_path, {"data": {"left": {"image": np.zeros((36, 60), np.uint8)}}, "filenames": "0001.jpg"})
        what = f"expected filenames and data.left|right.image|gaze|pose in {day_path}, got "
    elif kind == "unequal":
        eyes = {"image": np.zeros((2, 36, 60), np.uint8), "gaze": np.zeros((2, 3)), "pose": np.zeros((2, 3))}
        savemat(day_path, {"data": {"left": eyes, "right": eyes}, "filenames": "0001.jpg"})
        what = f"expected 1 uint8 images, gazes and poses of left eyes in {day_path}, got 2 uint8, 2 and 2"
    return 4, what


KINDS = ["no image", "no side", "no path", "truncated", "no matlab", "empty", "nan gaze", "nan pose", "other content"]


@pytest.mark.parametrize("kind", [*KINDS, "unequal"])
def test_an_unusable_line_is_named_or_left_out(root: Path, kind: str) -> None:
    usable = sum(len(getattr(dataset(root, most=1).splits, split)) for split in SPLITS)
    row, said = damage(root, kind)
    path = list_of(root, "p01")
    with pytest.raises(ValueError, match=re.escape(f"{path}, row {row}: {said}")):
        dataset(root).splits  # noqa: B018
    with pytest.warns(UserWarning, match=rf"{re.escape(str(path))}: 1 of \d+ rows left out; .* row {row}: "):
        left = dataset(root, most=1, skip_bad=True).splits
    assert sum(len(getattr(left, split)) for split in SPLITS) in range(usable - 4, usable + 1)
    assert not any("p01/day02" in name for split in SPLITS for name in getattr(left, split).ids) or row == 3
    assert any(sentence.startswith(f"{path}, row {row}: {said}") for sentence in dataset(root).problems())


def test_a_person_without_usable_lines_is_an_error(root: Path) -> None:
    for path in (root / "Data" / "Normalized" / "p02").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"p02\.txt: expected usable rows, got none of 67; the first is row 1: "):
        dataset(root, skip_bad=True).splits  # noqa: B018
    list_of(root, "p00").write_text("\n")
    with pytest.raises(ValueError, match=r"p00\.txt: expected lines 'dayNN/NAME\.jpg left\|right', got an empty file"):
        dataset(root).splits  # noqa: B018


def test_an_empty_split_is_named(whole: tuple[Path, list[Eye]], root: Path) -> None:
    for person in PERSONS:
        lines = list_of(root, person).read_text().splitlines()
        list_of(root, person).write_text("\n".join(lines[:1]) + "\n")
    with pytest.raises(
        ValueError, match="expected a bin of at least 3 samples, one each for train, val and test, got 3"
    ):
        dataset(root, cell_degrees=0.02).splits  # noqa: B018


def test_problems_are_all_found(root: Path) -> None:
    paths = {person: list_of(root, person) for person in PERSONS}
    day_of(root, "p00", "day10").unlink()
    lines = paths["p01"].read_text()
    paths["p01"].write_text(lines + "nonsense\n")
    found = dataset(root).problems()
    assert [sentence.split(": expected ")[0] for sentence in found] == [
        str(paths["p00"]),
        re.sub("row .*", "", f"{paths['p00']}, ") + f"row 1 and {_lines_of_day(paths['p00'], 'day10') - 1} more",
        str(paths["p01"]),
        f"{paths['p01']}, row {len(lines.splitlines()) + 1}",
        str(paths["p02"]),
    ]
    assert found[0] == f"{paths['p00']}: expected 3000 lines as published, got {_count(paths['p00'])}"
    day_of(root, "p02", "day01").parent.rename(root / "elsewhere")
    assert "found no folder" in dataset(root).problems()[-1]


def _count(path: Path) -> int:
    return len(path.read_text().splitlines())


def _lines_of_day(path: Path, day: str) -> int:
    return len({line for line in path.read_text().splitlines() if line.startswith(day)})


def test_files_as_published_have_no_problems(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr.data.mpiigaze.LINES", _count(list_of(root, "p00")))
    assert dataset(root, persons=["p00"]).problems() == []
    assert "expected a bin of at least 3 samples" in dataset(root, persons=["p00"], cell_degrees=0.02).problems()[0]


def test_the_cache_holds_until_a_file_changes(root: Path, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dataset(root).prepare_files()
    assert made == [root / "conr-cache" / f"{person}.npz" for person in PERSONS]
    assert dataset(root).prepare_files() == []
    with monkeypatch.context() as patch:
        patch.setattr("scipy.io.loadmat", pytest.fail)
        cached = dataset(root).splits
    for split in SPLITS:
        ours, theirs = getattr(cached, split), getattr(splits, split)
        assert ours.ids == theirs.ids
        for position in range(len(ours)):
            torch.testing.assert_close(ours[position], theirs[position], rtol=0, atol=0)
    day = day_of(root, "p01", "day02")
    write_day(day, [{side: (np.array([0.3, 0.4]), np.array([0.0, 0.1])) for side in ("left", "right")}])
    os.utime(day, ns=(1, 1))
    fresh = dataset(root).splits
    (position,) = [position for position, name in enumerate(fresh.train.ids) if "p01/day02" in name]
    np.testing.assert_allclose(fresh.train.labels[position].abs(), [0.3, 0.4], atol=1e-6)
    assert dataset(root).prepare_files() == [root / "conr-cache" / "p01.npz"]
    day.unlink()
    with pytest.raises(ValueError, match="row 4: expected the day's pictures"):
        dataset(root).splits  # noqa: B018
    assert [path.name for path in (root / "conr-cache").iterdir() if path.name.startswith(".")] == []


def test_a_broken_cache_is_passed_over_and_made_again(root: Path) -> None:
    (path, *_) = dataset(root).prepare_files()
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:4000] + b"damage" + whole[4006:]):
        path.write_bytes(broken)
        assert len(dataset(root).splits.train) > 100
        assert dataset(root).prepare_files() == [path]


def test_bad_lines_are_remembered_by_the_cache(root: Path) -> None:
    damage(root, "no image")
    dataset(root).prepare_files()
    with pytest.raises(ValueError, match=r"p01\.txt, row 3: expected a picture of"):
        dataset(root).splits  # noqa: B018
    with pytest.warns(UserWarning, match=r"p01\.txt: 1 of 69 rows left out; the first is row 3: "):
        dataset(root, skip_bad=True).splits  # noqa: B018


@pytest.mark.parametrize("place", range(0, 2400, 480))
def test_a_damaged_file_is_an_error_that_names_it_or_is_read(root: Path, place: int) -> None:
    day = day_of(root, "p01", "day01")
    held = bytearray(day.read_bytes())
    held[place : place + 5] = b"\xff\x00\xaa\x55\x01"
    day.write_bytes(bytes(held))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert len(dataset(root).splits.train) > 100
        except ValueError as error:
            assert str(day) in str(error) or "p01/day01/" in str(error)  # noqa: PT017  both ends are right


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="cell_degrees: expected a number above 0, got 0"):
        MPIIGaze(".", cell_degrees=0)
    with pytest.raises(ValueError, match="most: expected a number of at least 1, got 0"):
        MPIIGaze(".", most=0)
    with pytest.raises(ValueError, match="persons: expected each once, got p00 more than once"):
        MPIIGaze(".", persons=["p00", "p01", "p00"])
    with pytest.raises(ValueError, match="persons: expected more than 4, as 2 are for validation and as many for test"):
        MPIIGaze(".", persons=["p00", "p01", "p02", "p03"], held_out_persons=2)
    with pytest.raises(ValueError, match="held_out_persons: expected a number of at least 0, got -1"):
        MPIIGaze(".", held_out_persons=-1)
    with pytest.raises(ValueError, match="data_seed: expected a number of at least 0, got -1"):
        MPIIGaze(".", data_seed=-1)


def test_a_missing_package_is_named_with_its_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"conr.data.MPIIGaze needs scipy, .* pip install 'conr\[data\]'"):
        dataset(root).load()


def test_drawn_eyes_are_mirrored_by_their_yaw() -> None:
    """What the other tests rest on: the mirrored picture of an eye is that of the mirrored yaw."""
    np.testing.assert_array_equal(draw_eye((0.1, 0.2))[:, ::-1], draw_eye((0.1, -0.2)))
    assert not np.array_equal(draw_eye((0.1, 0.2)), draw_eye((0.1, -0.2)))
