"""Datasets of image files that a CSV file lists with their labels; images are decoded when they are asked for."""

import csv
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conr._checks import check_choice, check_number
from conr._extras import require
from conr.data.module import RegressionData, RegressionDataset, Splits
from conr.density import Bins
from conr.density.splits import SPLITS, Rows
from conr.tables.bad_rows import BadRows, check_splits_are_filled

MODES = {1: "L", 3: "RGB"}
"""Pillow's name of the colour mode, by number of channels."""


class UnreadableImageError(ValueError):
    """An image that cannot be decoded; the message names the file that lists it, the row and the image.

    A loading process hands its message over with a traceback around it. That is left out again, so that the error of a
    training run is the same one sentence with any number of processes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read, and the range of the labels.

    Args:
        path: column of the image's path, relative to the root folder.
        labels: columns of the labels, one per label dimension.
        split: column that says train, val or test; None if the file does not split.
        low: smallest valid label, the same for all label columns.
        high: largest valid label.
    """

    path: str
    labels: Sequence[str]
    split: str | None = None
    low: float = -math.inf
    high: float = math.inf


@dataclass
class ImageTable:
    """Images and their labels as read from a file, one entry per usable row.

    Attributes:
        source: the file.
        rows: number of the row in the file, from 1, the header included.
        paths: paths as the file has them.
        files: where the images lie.
        labels: shape (n,), or (n, k) for several label columns.
        splits: "train", "val" or "test"; empty strings if the file does not split.
    """

    source: Path
    rows: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    labels: Tensor = field(default_factory=lambda: torch.zeros(0))
    splits: list[str] = field(default_factory=list)

    def members(self) -> dict[str, Rows]:
        """Positions of the entries of each split."""
        splits = np.array(self.splits)
        return {split: np.flatnonzero(splits == split) for split in SPLITS}

    def only(self, positions: Sequence[int]) -> "ImageTable":
        """The entries at the given positions."""
        return ImageTable(
            self.source,
            rows=[self.rows[position] for position in positions],
            paths=[self.paths[position] for position in positions],
            files=[self.files[position] for position in positions],
            labels=self.labels[list(positions)],
            splits=[self.splits[position] for position in positions],
        )


def read_image_table(source: Path, columns: Columns, bad: BadRows, locate: Callable[[str], Path]) -> ImageTable:
    """Read a CSV file with a header line; rows that cannot be used go to ``bad``.

    Args:
        source: the file, UTF-8.
        columns: what is read.
        bad: raises at, or collects, rows with a missing cell, a label that is no number or out of range, an unknown
            split, or an image that does not exist.
        locate: path of the file to where the image lies.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an empty file, one that is not UTF-8, an unknown column, or a bad row that is not to be skipped.
    """
    table, labels = ImageTable(source), []
    names = (columns.path, *columns.labels, *filter(None, [columns.split]))
    for row, cells in _csv_rows(source, names, bad):
        path, split = cells[0], cells[-1] if columns.split else ""
        file = locate(path)
        try:
            numbers = [_label(*named, columns) for named in zip(columns.labels, cells[1:], strict=False)]
            _check_split_and_file(split if columns.split else "train", file)
        except ValueError as error:
            bad.add(row, str(error))
            continue
        table.rows.append(row)
        table.paths.append(path)
        table.files.append(str(file))
        table.splits.append(split)
        labels.append(numbers)
    table.labels = torch.tensor(labels, dtype=torch.float32).reshape(-1, len(columns.labels))  # (n, k)
    if len(columns.labels) == 1:
        table.labels = table.labels.squeeze(1)
    return table


def _csv_rows(source: Path, names: Sequence[str], bad: BadRows) -> Iterator[tuple[int, list[str]]]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            for name in names:
                if name not in header:
                    check_choice(f"{source}: column", name, header)
            places = [header.index(name) for name in names]
            for cells in reader:
                if len(cells) == len(header):
                    yield reader.line_num, [cells[place].strip() for place in places]
                elif cells:  # an empty line is no row
                    bad.add(reader.line_num, f"expected {len(header)} cells like the header, got {len(cells)}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{source}: expected a CSV file in UTF-8, got one that breaks: {error}") from error


def _label(name: str, cell: str, columns: Columns) -> float:
    try:
        number = float(cell)
    except ValueError:
        raise ValueError(f"{name}: expected a number, got {cell!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {cell!r}")
    if not columns.low <= number <= columns.high:
        raise ValueError(f"{name}: expected a number in [{columns.low:g}, {columns.high:g}], got {cell!r}")
    return number


def _check_split_and_file(split: str, file: Path) -> None:
    if split not in SPLITS:
        raise ValueError(f"expected one of the splits {', '.join(SPLITS)}, got {split!r}")
    if not file.is_file():
        raise ValueError(f"expected an image at {file}, found none")


def read_image(file: str, *, size: int, channels: int = 3) -> Tensor:
    """Decode an image and resize it, bilinear with antialiasing, to a square; the aspect ratio is not kept.

    Args:
        file: any format that Pillow reads, with 8 bits per channel.
        size: pixels along each side.
        channels: 3 for colour, 1 for grey.

    Returns:
        Shape (channels, size, size), uint8.

    Raises:
        ValueError: the file is missing, broken, no image, or has more than 8 bits per channel.
    """
    from PIL import Image  # noqa: PLC0415  optional

    try:
        with Image.open(file) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                raise ValueError(f"expected 8 bits per channel, got Pillow's mode {image.mode!r}")
            resized = image.convert(MODES[channels]).resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    pixels = torch.from_numpy(np.array(resized))  # (size, size) or (size, size, 3)
    return pixels.reshape(size, size, channels).permute(2, 0, 1).contiguous()


class ImageDataset(RegressionDataset):
    """Images of one split, decoded and normalised on access; item ``i`` is ``(image, label)``.

    An image is float32 of shape (channels, size, size): pixels in [0, 1], less the mean, over the deviation.

    Args:
        table: the images.
        members: positions in the table, at least one.
        size: pixels along each side.
        channels: 3 for colour, 1 for grey.
        mean: of the pixels, one number or one per channel.
        std: their deviation, one number or one per channel.
    """

    def __init__(
        self,
        table: ImageTable,
        members: Rows,
        *,
        size: int,
        channels: int = 3,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.5,
    ) -> None:
        self.source = table.source
        self.labels = table.labels[torch.from_numpy(members)]
        self.ids = [table.paths[member] for member in members]
        self.files = [table.files[member] for member in members]
        self.rows = [table.rows[member] for member in members]
        self.size = size
        self.channels = channels
        self.mean = _per_channel("mean", mean, channels)
        self.std = _per_channel("std", std, channels)
        if not (self.std > 0).all():
            raise ValueError(f"std: expected positive numbers, got {std}")

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        try:
            pixels = read_image(self.files[index], size=self.size, channels=self.channels)
        except ValueError as error:
            raise UnreadableImageError(
                f"{self.source}, row {self.rows[index]}: expected a readable image at {self.files[index]}: {error} "
                "(check_images looks for such rows before training, skip_bad leaves them out)"
            ) from error
        return (pixels / 255 - self.mean) / self.std, self.labels[index]


class ImageData(RegressionData):
    """Base of datasets whose CSV file lists images and labels: a subclass says how rows are split, and the bins.

    Args:
        root: folder below which the images lie.
        table: the CSV file; a relative path starts at ``root``.
        columns: what is read of it.
        size: pixels along each side, to which images are resized.
        channels: 3 for colour, 1 for grey.
        mean: of the pixels, to normalise by.
        std: deviation of the pixels, to normalise by.
        skip_bad: leave out rows that cannot be used, and warn of how many, instead of stopping at the first.
        check_images: decode every image when loading, so that unreadable ones are found before training.
        batch_size: images per batch.
        num_workers: processes that load batches.
    """

    table_hint = ""

    def __init__(
        self,
        *,
        root: str | Path,
        table: str | Path,
        columns: Columns,
        size: int,
        channels: int = 3,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.5,
        skip_bad: bool = False,
        check_images: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_number("size", size, low=1)
        if channels not in MODES:
            raise ValueError(f"channels: expected 1 or 3, got {channels}")
        self.root = Path(root)
        self.table = self.root / table
        self.columns = columns
        self.size = size
        self.channels = channels
        self.mean = mean
        self.std = std
        self.skip_bad = skip_bad
        self.check_images = check_images

    @abstractmethod
    def bins(self, labels: Tensor) -> Bins:
        """Bins of all labels, (n,) or (n, k)."""

    def members(self, table: ImageTable) -> Mapping[str, Rows]:
        """Positions of the entries of each split."""
        return table.members()

    def locate(self, path: str) -> Path:
        """Where the image lies that the file calls ``path``."""
        return self.root / path

    def load(self) -> Splits:
        """Read the CSV file and check that its images exist.

        Raises:
            FileNotFoundError: no such folder or CSV file.
            ValueError: a row that cannot be used, unless ``skip_bad``; a split without images.
            ImportError: Pillow is not installed.
        """
        bad = BadRows(self.table, skip=self.skip_bad)
        table = self._read(bad)
        bad.finish(len(table.rows) + len(bad.problems))
        datasets = {
            split: ImageDataset(table, rows, size=self.size, channels=self.channels, mean=self.mean, std=self.std)
            for split, rows in self._filled_members(table).items()
        }
        return Splits(**datasets, bins=self.bins(table.labels))

    def problems(self) -> list[str]:
        """Every row that cannot be used, and splits whose sizes are not the published ones; see the base class.

        Images are decoded only with ``check_images``, as that takes a while.
        """
        bad = BadRows(self.table, skip=True)
        sizes: dict[str, int] = {}
        others: list[str] = []
        try:
            sizes = {split: len(rows) for split, rows in self._filled_members(self._read(bad)).items()}
        except (ValueError, OSError) as error:
            others.append(str(error))
        published = self.card.counts if self.card and sizes else {}
        others += [
            f"{self.table}: expected {count} images in {split} as published, got {sizes[split]}"
            for split, count in published.items()
            if sizes[split] != count
        ]
        return [f"{self.table}, row {row}: {problem}" for row, problem in sorted(bad.problems.items())] + others

    def _read(self, bad: BadRows) -> ImageTable:
        require(f"conr.data.{type(self).__name__}", "PIL")
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: expected the folder of the images, found no folder {self.root}")
        if not self.table.is_file():
            raise FileNotFoundError(f"expected the list of images at {self.table}, found none{self.table_hint}")
        table = read_image_table(self.table, self.columns, bad, self.locate)
        return _readable(table, bad) if self.check_images else table

    def _filled_members(self, table: ImageTable) -> Mapping[str, Rows]:
        members = self.members(table) if table.rows else {}
        check_splits_are_filled(self.table, {split: len(rows) for split, rows in members.items()})
        return members


def _readable(table: ImageTable, bad: BadRows) -> ImageTable:
    def problem_of(file: str) -> str | None:
        try:
            read_image(file, size=1)
        except ValueError as error:
            return f"expected a readable image at {file}: {error}"
        return None

    kept = []
    pool = ThreadPoolExecutor()  # Pillow decodes outside of Python's lock
    try:
        for position, problem in enumerate(pool.map(problem_of, table.files)):
            if problem is None:
                kept.append(position)
            else:
                bad.add(table.rows[position], problem)
    finally:
        pool.shutdown(cancel_futures=True)
    return table.only(kept)


def _per_channel(name: str, value: float | Sequence[float], channels: int) -> Tensor:
    numbers = [float(value)] * channels if isinstance(value, int | float) else [float(one) for one in value]
    if len(numbers) != channels:
        raise ValueError(f"{name}: expected one number or {channels}, got {len(numbers)}")
    for number in numbers:
        check_number(name, number)
    return torch.tensor(numbers).view(channels, 1, 1)
