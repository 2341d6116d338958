"""The files of MPIIGaze: directions as angles, the eyes of the evaluation subset, and a cache of them."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conr.runs.atomic import write_arrays
from conr.runs.reading import read_arrays

Array = NDArray[Any]

HEIGHT, WIDTH = 36, 60
SIDES = ("left", "right")
NORMALIZED = Path("Data") / "Normalized"
LISTS = Path("Evaluation Subset") / "sample list for eye image"
CACHE = "conr-cache"
LINE = "dayNN/NAME.jpg left|right"

_LINE = re.compile(r"(?P<day>[^/\s]+)/(?P<picture>[^/]+?)\s+(?P<side>left|right)")
_CACHE_FORMAT = 1


class _Eye(NamedTuple):
    number: int
    name: str
    side: str
    image: Array  # (36, 60)
    gaze: Array  # (3,)
    pose: Array  # (3,)


class Eyes(NamedTuple):
    """The listed eyes of one person, right ones mirrored, and what is wrong with the lines that give none."""

    ids: Array  # ``"p00/day01/0005.jpg left"``, shape (n,), each once
    images: Array  # shape (n, 36, 60), uint8
    gazes: Array  # pitch and yaw in radians, shape (n, 2), float32
    poses: Array  # pitch and yaw of the head in radians, shape (n, 2), float32
    lines: int  # number of lines of the list, repeated ones too
    bad_lines: Array  # numbers of the unusable ones, from 1, shape (m,)
    problems: Array  # what was expected there and what came, shape (m,)


def gaze_angles(directions: Array) -> Array:
    """Pitch and yaw (n, 2) of gaze directions (n, 3), any length, in the camera's frame (x right, y down, z away).

    Looking straight into the camera is (0, 0); pitch is positive upwards, yaw towards the image's left: a direction
    (x, y, z) of length 1 has pitch asin(-y) and yaw atan2(-x, -z). One or both are NaN for a direction that has no
    length or is not finite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, z = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T  # (n,) each
    return np.stack((np.arcsin(np.clip(-y, -1, 1)), np.arctan2(-x, -z)), axis=1)  # rounding may carry |y| above 1


def head_angles(rotations: Array) -> Array:
    r"""Pitch and yaw (n, 2) of the head from rotation vectors (n, 3), axis times angle in radians.

    Where the rotation takes the z axis, by Rodrigues' formula (the third column of the rotation matrix); NaN for a
    vector that is not finite:

    $$u = \cos\theta\, e_3 + \sin\theta\, k \times e_3 + (1 - \cos\theta)\, k_3\, k, \qquad
    \text{pitch} = \arcsin u_2, \quad \text{yaw} = \operatorname{atan2}(u_1, u_3)$$

    Symbols: $\theta$ length and $k$ direction of the rotation vector.
    """
    with np.errstate(invalid="ignore"):
        angle = np.linalg.norm(rotations, axis=1, keepdims=True)  # (n, 1)
        k = np.divide(rotations, angle, out=np.zeros_like(rotations), where=angle > 0)  # (n, 3)
        sine, cosine = np.sin(angle[:, 0]), np.cos(angle[:, 0])  # (n,), (n,)
    first = sine * k[:, 1] + (1 - cosine) * k[:, 2] * k[:, 0]
    second = -sine * k[:, 0] + (1 - cosine) * k[:, 2] * k[:, 1]
    third = cosine + (1 - cosine) * k[:, 2] ** 2
    return np.stack((np.arcsin(np.clip(second, -1, 1)), np.arctan2(first, third)), axis=1)


def read_eyes(root: Path, person: str) -> Eyes:
    """Read the eyes that the list of a person, "p00" to "p14", names, from the cache if it is up to date.

    A line that repeats an earlier one gives no second eye: one participant's list is oversampled.

    Raises:
        FileNotFoundError: the person's list or folder is not there.
        ValueError: the list is empty.
    """
    path = list_path(root, person)
    folder = root / NORMALIZED / person
    if not path.is_file():
        raise FileNotFoundError(f"expected the list of samples of {person}, found no file {path}")
    if not folder.is_dir():
        raise FileNotFoundError(f"expected the .mat files of {person}, found no folder {folder}")
    cached = _read_cache(root, person)
    return _decode(path, folder) if cached is None else cached


def write_cache(root: Path, person: str) -> Path | None:
    """Keep the decoded eyes of a person below ``root/conr-cache``; None if what is there is up to date.

    It holds for exactly these files: if the list or a .mat file has another size or date, or if there is one more or
    less, `read_eyes` passes it over.

    Raises:
        FileNotFoundError, ValueError: as `read_eyes`.
        OSError: it cannot be written.
    """
    if _read_cache(root, person) is not None:
        return None
    state = _state_of_files(root, person)  # before reading: a file that changes meanwhile makes the cache void
    eyes = read_eyes(root, person)
    path = _cache_path(root, person)
    path.parent.mkdir(exist_ok=True)
    return write_arrays(path, {"state": np.asarray(state), **eyes._asdict()})


def list_path(root: Path, person: str) -> Path:
    """The list of samples of a person."""
    return root / LISTS / f"{person}.txt"


def _cache_path(root: Path, person: str) -> Path:
    return root / CACHE / f"{person}.npz"


def _state_of_files(root: Path, person: str) -> str:
    paths = [list_path(root, person), *sorted((root / NORMALIZED / person).glob("*.mat"))]
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file()]
    return json.dumps([_CACHE_FORMAT, states])


def _read_cache(root: Path, person: str) -> Eyes | None:
    try:
        arrays: dict[str, Any] = read_arrays(_cache_path(root, person), ("state", *Eyes._fields))
        if str(arrays.pop("state")) != _state_of_files(root, person):
            return None
        return Eyes(**arrays | {"lines": int(arrays["lines"])})
    except (OSError, ValueError, TypeError):
        return None  # a broken cache is as good as none


def _decode(path: Path, folder: Path) -> Eyes:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first_copies: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        first_copies.setdefault(line.strip(), number)
    first_copies.pop("", None)
    if not first_copies:
        raise ValueError(f"{path}: expected lines '{LINE}', got an empty file")
    problems: dict[int, str] = {}
    by_day: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for line, number in first_copies.items():
        found = _LINE.fullmatch(line)
        if found is None:
            problems[number] = f"expected '{LINE}', got {line!r}"
        else:
            by_day[found["day"]].append((number, found["picture"], found["side"]))
    eyes: list[_Eye] = []
    for day, wanted in by_day.items():
        try:
            held = _read_day(folder / f"{day}.mat")
        except ValueError as error:
            problems |= {number: str(error) for number, *_ in wanted}
            continue
        for number, picture, side in wanted:
            if picture in held:
                eyes.append(_Eye(number, f"{folder.name}/{day}/{picture} {side}", side, *held[picture][side]))
            else:
                problems[number] = f"expected a picture of {folder / day}.mat, got {picture!r}, which it lacks"
    eyes.sort(key=lambda eye: eye.number)
    return _without_unknown(eyes, sum(bool(line.strip()) for line in lines), problems)


def _without_unknown(eyes: list[_Eye], lines: int, problems: dict[int, str]) -> Eyes:
    images = np.asarray([eye.image for eye in eyes], dtype=np.uint8).reshape(-1, HEIGHT, WIDTH)
    gazes = gaze_angles(np.asarray([eye.gaze for eye in eyes], dtype=np.float64).reshape(-1, 3))
    poses = head_angles(np.asarray([eye.pose for eye in eyes], dtype=np.float64).reshape(-1, 3))
    # A right eye becomes a left one: mirrored, what looks to one side looks to the other.
    right = np.asarray([eye.side == "right" for eye in eyes], dtype=bool)
    images[right] = images[right, :, ::-1]
    gazes[right, 1] *= -1
    poses[right, 1] *= -1
    known = np.isfinite(gazes).all(axis=1) & np.isfinite(poses).all(axis=1)  # (n,)
    for position in np.flatnonzero(~known):
        eye = eyes[position]
        problems[eye.number] = (
            f"expected a gaze direction and a head pose, got {eye.gaze.tolist()} and {eye.pose.tolist()} of {eye.name}"
        )
    bad_lines = sorted(problems)
    return Eyes(
        ids=np.asarray([eye.name for eye in eyes], dtype=np.str_)[known],
        images=images[known],
        gazes=gazes[known].astype(np.float32),
        poses=poses[known].astype(np.float32),
        lines=lines,
        bad_lines=np.asarray(bad_lines, dtype=np.int64),
        problems=np.asarray([problems[number] for number in bad_lines], dtype=np.str_),
    )


def _read_day(path: Path) -> dict[str, dict[str, tuple[Array, Array, Array]]]:
    """By picture and side: image (36, 60), gaze (3,) and head pose (3,).

    Raises:
        ValueError: no such file, one that breaks, or other content.
    """
    from scipy.io import loadmat  # noqa: PLC0415  optional

    if not path.is_file():
        raise ValueError(f"expected the day's pictures in {path}, found no file")
    try:
        content = loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["data", "filenames"])
    except Exception as error:  # scipy raises whatever the damaged bytes lead it to
        raise ValueError(f"expected a complete MATLAB file, got {path}, which is broken: {error}") from error
    try:
        pictures = [str(name) for name in np.atleast_1d(content["filenames"])]
        sides = {side: getattr(content["data"], side) for side in SIDES}
        # A day of one picture has lost its first dimension.
        columns = {
            side: (
                one.image.reshape(-1, HEIGHT, WIDTH),
                one.gaze.astype(np.float64).reshape(-1, 3),
                one.pose.astype(np.float64).reshape(-1, 3),
            )
            for side, one in sides.items()
        }
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"expected filenames and data.left|right.image|gaze|pose in {path}, got {error}") from error
    for side, (images, gazes, poses) in columns.items():
        if images.dtype != np.uint8 or not len(images) == len(gazes) == len(poses) == len(pictures):
            raise ValueError(
                f"expected {len(pictures)} uint8 images, gazes and poses of {side} eyes in {path}, "
                f"got {len(images)} {images.dtype}, {len(gazes)} and {len(poses)}"
            )
    return {
        picture: {side: (images[row], gazes[row], poses[row]) for side, (images, gazes, poses) in columns.items()}
        for row, picture in enumerate(pictures)
    }
