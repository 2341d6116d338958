"""Any folder of images with a CSV file of labels."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from conr._auto import AUTO, Auto
from conr._checks import check_number
from conr.data.dataset import DatasetCard
from conr.data.image_list import Columns, ImageTable
from conr.data.images import ImageData
from conr.density import Bins
from conr.density.splits import Positions, balanced_split


class ImageFolder(ImageData):
    """Your own images: a CSV file has a column of paths and one or several columns of labels.

    The file says in a column which images train, validate and test; or, without such a column, validation and test are
    balanced over the bins of the labels: of each bin a third of the images, at most ``per_bin``, goes to each, and all
    copies of a picture to one split. Images are resized to a square and normalised, float32 of shape (channels, size,
    size).

    Args:
        root: folder that the paths of the CSV file are relative to.
        bin_width: width of the bins over which rarity is measured, in label units; one number, or one per label column.
        path_column: column of the paths.
        label_columns: column of the label, or a list of columns.
        split_column: column that says train, val or test; None splits by ``per_bin`` and ``data_seed``.
        per_bin: most images of a bin in val, and in test.
        data_seed: seed of the split.
        low: smallest valid label, and the first edge of the bins; the smallest that occurs if None.
        high: largest valid label, where the bins end; the largest that occurs if None.
        label_name: of the label in tables and pictures; the columns if None.
        label_unit: of the label in tables and pictures.
        many: a bin with more training images is many-shot.
        few: a bin with fewer training images is few-shot, else median.
        size: pixels along each side; "auto" is the median of the images' shorter sides, at most 224.

    Raises:
        ValueError: no label column, or a number out of its range.
    """

    name = "folder"
    label_name = "label"
    card = DatasetCard(
        summary="Your own images with one or several numbers each.",
        source="Yours.",
        licence="Yours.",
        layout={
            "labels.csv": "a header line, then one line per image: path, label, and split if you have one; "
            "the file and its columns may have other names",
            "...": "the images, at the given paths",
        },
    )

    def __init__(
        self,
        *,
        root: str | Path,
        bin_width: float | list[float],
        table: str | Path = "labels.csv",
        path_column: str = "path",
        label_columns: list[str] | str = "label",
        split_column: str | None = None,
        per_bin: int = 20,
        data_seed: int = 0,
        low: float | None = None,
        high: float | None = None,
        label_name: str | None = None,
        label_unit: str = "",
        many: int = 100,
        few: int = 20,
        size: int | Auto = 224,
        channels: int = 3,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        cache: float | Auto = AUTO,
        skip_bad: bool = False,
        check_images: bool = False,
        find_copies: bool = True,
        outside_root: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        labels = [label_columns] if isinstance(label_columns, str) else list(label_columns)
        if not labels:
            raise ValueError("label_columns: expected at least one column, got none")
        super().__init__(
            root=root,
            table=table,
            columns=Columns(
                path=path_column,
                labels=labels,
                split=split_column,
                low=-math.inf if low is None else low,
                high=math.inf if high is None else high,
            ),
            size=size,
            channels=channels,
            mean=mean,
            std=std,
            cache=cache,
            skip_bad=skip_bad,
            check_images=check_images,
            find_copies=find_copies,
            outside_root=outside_root,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        check_number("per_bin", per_bin, low=1)
        check_number("data_seed", data_seed, low=0)
        check_number("few", few, low=0)
        check_number("many", many, low=few)
        self.bin_width = bin_width
        self.per_bin = per_bin
        self.data_seed = data_seed
        self.low = low
        self.high = high
        self.label_name = ", ".join(labels) if label_name is None else label_name
        self.label_unit = label_unit
        self.many = many
        self.few = few

    def bins(self, labels: Tensor) -> Bins:
        """Bins of equal width over the valid range, or over the range of the labels."""
        dimensions = len(self.columns.labels)
        low, high = ([end] * dimensions if end is not None else None for end in (self.low, self.high))
        return Bins.by_width(labels, width=self.bin_width, low=low, high=high)

    def members(self, table: ImageTable) -> Mapping[str, Positions]:
        """Positions of the entries of each split: as the file says, or balanced over the bins.

        Raises:
            ValueError: no bin has three images.
        """
        if self.columns.split is not None:
            return super().members(table)
        try:
            return balanced_split(
                table.labels,
                self.bins(table.labels),
                most=self.per_bin,
                seed=self.data_seed,
                contents=table.contents,
            )
        except ValueError as error:
            raise ValueError(f"{self.table}: {error}") from error
