"""MPIIGaze in miniature: drawn eyes in the folders and the .mat format of the real ones."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.spatial.transform import Rotation

Array = NDArray[Any]

PERSONS = ("p00", "p01", "p02")
# Cells of 2 degrees, by their middle in degrees of pitch and yaw, with their number of samples: many, median, few, few.
CELLS = {(-9.0, 1.0): 130, (-9.0, -7.0): 42, (-3.0, 13.0): 18, (5.0, -15.0): 10}


@dataclass(frozen=True)
class Eye:
    """A listed eye as it must be read: a right one is mirrored."""

    name: str
    gaze: tuple[float, float]  # pitch and yaw in radians
    pose: tuple[float, float]
    image: Array  # (36, 60)


def make_mpiigaze(root: Path, *, persons: Sequence[str] = PERSONS, seed: int = 0) -> list[Eye]:
    """Write 200 listed eyes of all ``persons`` below ``root``, and one more of each, and return them as listed.

    Every person has a day of a single picture, pictures that no list names, a picture of which both eyes are listed,
    and a line that repeats another.
    """
    random = np.random.default_rng(seed)
    targets = [cell for cell, count in CELLS.items() for _ in range(count)]
    labels = np.radians(targets + random.uniform(-0.9, 0.9, (len(targets), 2)))  # (200, 2)
    order = random.permutation(len(labels))
    eyes = []
    for position, person in enumerate(persons):
        eyes += _write_person(root, person, labels[order[position :: len(persons)]], random)
    return eyes


def _write_person(root: Path, person: str, labels: Array, random: np.random.Generator) -> list[Eye]:
    days: dict[str, list[dict[str, tuple[Array, Array]]]] = defaultdict(list)  # by picture and side: gaze, pose
    eyes, lines = [], []
    for row, label in enumerate(labels):
        day = "day02" if row == 3 else "day01" if row % 2 else "day10"
        side = "left" if row % 3 else "right"
        gaze, pose = label, random.normal(scale=0.2, size=2)
        other = gaze + random.uniform(-0.001, 0.001, size=2)  # the other eye, once mirrored; in the same cell
        raw = gaze * (1, -1) if side == "right" else gaze
        opposite = other if side == "right" else other * (1, -1)
        raw_pose = pose * (1, -1) if side == "right" else pose
        left, right = (raw, opposite) if side == "left" else (opposite, raw)
        days[day].append({"left": (left, raw_pose), "right": (right, raw_pose)})
        picture = f"{len(days[day]):04d}.jpg"
        lines.append(f"{day}/{picture} {side}")
        eyes.append(Eye(f"{person}/{lines[-1]}", tuple(gaze), tuple(pose), draw_eye(gaze)))
        if row == 4:
            lines.append(f"{day}/{picture} {'left' if side == 'right' else 'right'}")
            mirrored = pose * (1, -1)
            eyes.append(Eye(f"{person}/{lines[-1]}", tuple(other), tuple(mirrored), draw_eye(other)))
    for day in ("day01", "day10"):
        days[day].append({side: (np.zeros(2), np.zeros(2)) for side in ("left", "right")})
    lines.append(lines[5])
    path = root / "Evaluation Subset" / "sample list for eye image" / f"{person}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    for day, pictures in days.items():
        write_day(root / "Data" / "Normalized" / person / f"{day}.mat", pictures)
    return eyes


def write_day(path: Path, pictures: list[dict[str, tuple[Array, Array]]]) -> None:
    """Write a day's file: of each picture and side, gaze and pose (pitch and yaw in radians) before any mirroring."""
    names = np.empty((len(pictures), 1), dtype=object)
    names[:, 0] = [f"{number:04d}.jpg" for number in range(1, len(pictures) + 1)]
    data = {
        side: {
            "gaze": np.asarray([gaze_direction(*picture[side][0]) for picture in pictures]),
            "image": np.asarray([draw_eye(picture[side][0]) for picture in pictures]),
            "pose": np.asarray([rotation_vector(*picture[side][1]) for picture in pictures]),
        }
        for side in ("left", "right")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"data": data, "filenames": names}, do_compression=True)


def gaze_direction(pitch: float, yaw: float) -> tuple[float, float, float]:
    """A unit vector in the camera's frame; towards the camera for (0, 0)."""
    return (-math.cos(pitch) * math.sin(yaw), -math.sin(pitch), -math.cos(pitch) * math.cos(yaw))


def rotation_vector(pitch: float, yaw: float) -> Array:
    """A rotation that takes the z axis to (cos p sin y, sin p, cos p cos y)."""
    vector: Array = Rotation.from_euler("YX", [yaw, -pitch]).as_rotvec()
    return vector


def draw_eye(gaze: Sequence[float] | Array) -> Array:
    """A light eye with a dark iris where the gaze moves it, uint8 (36, 60)."""
    pitch, yaw = gaze
    rows, columns = np.mgrid[0:36, 0:60]
    distance = np.hypot(rows - 17.5 + 40 * pitch, columns - 29.5 - 60 * yaw)
    image: Array = np.where(distance < 8, 40, 200).astype(np.uint8)
    return image
