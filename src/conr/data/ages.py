"""Base of the two age benchmarks: bins of one year, and a CSV file made by the published split rule."""

import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from conr._auto import AUTO, Auto
from conr.data.image_list import Columns
from conr.data.images import ImageData
from conr.density import Bins
from conr.density.splits import balanced_split
from conr.runs.atomic import write_text

LAST_BIN = 120
"""Older people share this bin."""

SPLIT_SEED = 666


def age_bins(last: int = LAST_BIN) -> Bins:
    """One bin per year from 0 to ``last``, which older people share."""
    return Bins.by_width(width=1, low=0, high=last + 1, clamp=True)


class AgeData(ImageData):
    """Images of faces with an age in years, listed with their split in a CSV file of columns age, path and split.

    A subclass says ``table_name``, the CSV file; ``highest_age``, the largest valid label; ``most_per_age``, images of
    each age in val and in test of a CSV file that it makes; and it lists the images for that.

    Args:
        root: folder of the CSV file and of the images.
        table: the CSV file, if it is called otherwise than ``table_name``; a relative path starts at ``root``.
    """

    label_name = "age"
    label_unit = "years"
    table_name: str
    highest_age: int
    most_per_age: int

    def __init__(
        self,
        *,
        root: str | Path,
        table: str | Path | None = None,
        size: int = 224,
        cache: float | Auto = AUTO,
        skip_bad: bool = False,
        check_images: bool = False,
        find_copies: bool = True,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            root=root,
            table=self.table_name if table is None else table,
            columns=Columns(path="path", labels=["age"], split="split", low=0, high=self.highest_age),
            size=size,
            cache=cache,
            skip_bad=skip_bad,
            check_images=check_images,
            find_copies=find_copies,
            batch_size=batch_size,
            num_workers=num_workers,
        )

    def bins(self, labels: Tensor) -> Bins:  # noqa: ARG002  the same for all labels
        """One bin per year from 0 to 120, which older people share: the bins of sample weights."""
        return age_bins()

    @abstractmethod
    def usable_images(self) -> list[tuple[int, str]]:
        """Age and path of the images that a CSV file may list, in an order that does not depend on the machine."""

    def prepare_files(self) -> list[Path]:
        """Make the CSV file from the images or their metadata, if it is not there; see `write_split_ages`.

        Raises:
            FileNotFoundError: neither images nor metadata.
            ValueError: images or metadata that cannot be used.
        """
        if self.table.exists():
            return []
        usable = self.usable_images()
        ages, images = [age for age, _ in usable], [image for _, image in usable]
        write_split_ages(self.table, ages, images, most=self.most_per_age)
        return [self.table]


def write_split_ages(path: Path, ages: Sequence[int], images: Sequence[str], *, most: int) -> None:
    """Write a CSV file of age, path and split: of each age a third, at most ``most``, to val and as many to test.

    The published files were made by this rule, with a shuffle that depends on the order in which an operating system
    lists files. Here it depends on the given order alone, so the sizes are the published ones, the people are not.

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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["age", "path", "split"])
    writer.writerows((age, image, split_of[row]) for row, (age, image) in enumerate(zip(ages, images, strict=True)))
    write_text(path, text.getvalue())
