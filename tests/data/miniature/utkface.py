"""UTKFace in miniature: drawn pictures, never faces, with names as the published ones, in a folder or an archive."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
from tests.data.miniature.images import write_image

COUNTS = {0: 9, 1: 3, 26: 110, 40: 40, 90: 5, 110: 1, 116: 2}
"""Pictures per age."""


def file_name(age: int, number: int) -> str:
    """A published name; every tenth lacks a field or is otherwise odd, as some of the published ones."""
    odd = {
        3: f"{age}_1_2017011617{number:07}.jpg.chip.jpg",
        6: f"{age}_0_1_2017011617{number:07} .jpg.chip.jpg",
        9: f"{age}_0_0_2017011617{number:07}jpg.chip.jpg",
    }
    return odd.get(number % 30, f"{age}_{number % 2}_{number % 5}_2017011617{number:07}.jpg.chip.jpg")


def write_utkface(root: Path, *, packed: bool = False) -> Path:
    """Write 170 drawn pictures.

    Args:
        root: gets a folder ``UTKFace``.
        packed: into an archive ``UTKFace.zip`` instead.

    Returns:
        The root, or the archive.
    """
    random = np.random.default_rng(0)
    folder = root / "UTKFace"
    ages = [age for age, count in COUNTS.items() for _ in range(count)]
    for number, age in enumerate(ages):
        write_image(folder / file_name(age, number), age, highest=120, random=random)
    return pack(folder) if packed else root


def pack(folder: Path, *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Move a folder into an archive beside it, in an order that is not that of the names."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", method) as opened:
        opened.writestr(f"{folder.name}/", "")
        for file in sorted(folder.iterdir(), reverse=True):
            opened.write(file, f"{folder.name}/{file.name}")
        opened.writestr(f"__MACOSX/{folder.name}/._1_0_0_2017.jpg.chip.jpg", b"no picture")
    shutil.rmtree(folder)
    return archive
