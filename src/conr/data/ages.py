"""What the two age benchmarks share: bins of one year, and a CSV file made by the published split rule."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from conr.data.images import Columns
from conr.density import Bins
from conr.density.splits import balanced_split

LAST_BIN = 120
"""Older people share this bin."""

SPLIT_SEED = 666


def age_columns(highest: int) -> Columns:
    """The published columns: age, path, split."""
    return Columns(path="path", labels=["age"], split="split", low=0, high=highest)


def age_bins(last: int = LAST_BIN) -> Bins:
    """One bin per year from 0 to ``last``, which older people share."""
    return Bins.by_width(width=1, low=0, high=last + 1, clamp=True)


def write_split_ages(path: Path, ages: Sequence[int], images: Sequence[str], *, most: int) -> None:
    """Write a CSV file of age, path and split: of each age a third, at most ``most``, to val and as many to test.

    The published files were made by this rule, with a shuffle that depends on the order in which an operating system
    lists files. Here it depends on the given order alone, so the sizes are the published ones, the people are not.

    Args:
        path: the file; it appears complete or not at all.
        ages: whole years.
        images: path of each image as the file has it.
        most: images per age in val, and in test.

    Raises:
        ValueError: no images, or no age that three of them have.
    """
    if not ages:
        raise ValueError(f"{path}: expected images to list, found none that can be used")
    try:
        members = balanced_split(torch.tensor(ages), age_bins(max(ages)), most=most, seed=SPLIT_SEED)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    split_of = {int(row): split for split, rows in members.items() for row in rows}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["age", "path", "split"])
            writer.writerows(
                (age, image, split_of[row]) for row, (age, image) in enumerate(zip(ages, images, strict=True))
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
