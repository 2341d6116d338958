"""Forty pairs in the format of NYUD2-DIR: lists, jpg with 8-bit png for training, png with 16-bit png for the test."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCENES = ("bedroom_0001a_out", "bedroom_0001b_out", "kitchen_0003_out", "study_0005_out")
PER_SCENE, TEST = 8, 8
SIZE = (80, 60)  # width, height
FRAME = {"short_side": 48, "height": 44, "width": 60}
"""Arguments of `NYUD2` that fit: 80 x 60 becomes 64 x 48, of which 60 x 44 remain."""

Array = NDArray[Any]


def write_nyud2(root: Path, *, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write 32 training and 8 test pairs below ``root`` and return it; near things are bright."""
    random = np.random.default_rng(seed)
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for scene in SCENES:
        for number in range(1, PER_SCENE + 1):
            depth = _room(random, size)
            stem = f"data/nyu2_train/{scene}/{number}"
            _save(root / f"{stem}.jpg", _photograph(depth, random))
            _save(root / f"{stem}.png", (depth / 10 * 255).round().astype(np.uint8))
            lists["train"].append(f"{stem}.jpg,{stem}.png")
    for number in range(TEST):
        depth = _room(random, size)
        stem = f"data/nyu2_test/{number:05d}"
        _save(root / f"{stem}_colors.png", _photograph(depth, random))
        millimetres = (1000 * depth).round().astype(np.uint16)
        millimetres[:6] = 0  # the sensor saw nothing
        _save(root / f"{stem}_depth.png", millimetres)
        lists["test"].append(f"{stem}_colors.png,{stem}_depth.png")
    for split, rows in lists.items():
        (root / f"data/nyu2_{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def _room(random: np.random.Generator, size: tuple[int, int]) -> Array:
    """Metres of a back wall, a floor that comes nearer, and two boxes; shape (height, width)."""
    width, height = size
    wall = random.uniform(2, 9.9)
    depth = np.full((height, width), wall)
    floor = np.arange(height // 2, height)
    depth[floor] = np.minimum(wall, height * 0.6 / (floor - height / 2 + 3))[:, None]
    left, top = random.integers(0, width // 2), random.integers(0, height // 2)
    depth[top : top + height // 3, left : left + width // 3] = random.uniform(0.5, wall)
    depth[-20:-12, 20:30] = 0.4  # nearer than what is evaluated
    return depth


def _photograph(depth: Array, random: np.random.Generator) -> Array:
    tint = random.uniform(0.7, 1, 3)
    pixels = 255 * np.exp(-depth / 5)[:, :, None] * tint + random.normal(0, 4, (*depth.shape, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def _save(file: Path, pixels: Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
