"""IMDB-WIKI-DIR in miniature: two folders of images with their MATLAB metadata, and the published CSV file."""

import math
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import savemat
from tests.data.miniature.images import write_image


class Face(NamedTuple):
    """One entry of the metadata."""

    birth: float  # MATLAB's day number
    taken: int
    path: str
    face_score: float = 3.5
    second_face_score: float = math.nan


def day_number(born: date) -> int:
    """MATLAB's number of a day."""
    return born.toordinal() + 366


def write_metadata(root: Path, part: str, faces: list[Face]) -> Path:
    """Write ``imdb.mat`` or ``wiki.mat`` with the fields of the true one that are read, and some that are not."""
    n = len(faces)
    paths = np.empty((1, n), dtype=object)
    paths[0] = [np.array([face.path]) for face in faces]
    fields = {
        "dob": np.array([[face.birth for face in faces]], dtype=np.int32),
        "photo_taken": np.array([[face.taken for face in faces]], dtype=np.uint16),
        "full_path": paths,
        "gender": np.ones((1, n)),
        "face_score": np.array([[face.face_score for face in faces]]),
        "second_face_score": np.array([[face.second_face_score for face in faces]]),
    }
    path = root / f"{part}_crop" / f"{part}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {part: fields})
    return path


def write_imdb_wiki(root: Path, *, table: bool = True) -> Path:
    """Write 40 images of actors and 30 of others with their metadata, and ``imdb_wiki.csv`` if wanted.

    Returns:
        ``root``.
    """
    random = np.random.default_rng(0)
    rows = ["age,path,split"]
    for part, size in (("imdb", 40), ("wiki", 30)):
        faces = []
        for number in range(size):
            age = (25, 26, 40, 40, 140)[number % 5]
            taken = 2000 + number % 10
            path = f"{number % 3:02}/{number}_{part}_{taken - age}-03-01_{taken}.jpg"
            write_image(root / f"{part}_crop" / path, age, highest=200, random=random)
            faces.append(Face(day_number(date(taken - age, 3, 1)), taken, path))
            rows.append(f"{age},{part}_crop/{path},{('train', 'train', 'val', 'test')[number // 5 % 4]}")
        write_metadata(root, part, faces)
    if table:
        (root / "imdb_wiki.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
