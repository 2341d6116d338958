"""Datasets of listed image files, which are decoded when they are asked for."""

import os
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conr._checks import check_number
from conr._extras import require
from conr.data.dataset import RegressionDataset, Splits
from conr.data.image_list import Columns, ImageTable, read_image_table
from conr.data.module import RegressionData
from conr.density import Bins
from conr.density.splits import Positions
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


def read_image(file: str, *, size: int, channels: int = 3) -> Tensor:
    """Decode an image and resize it, bilinear with antialiasing, to a square; the aspect ratio is not kept.

    The image is turned as a viewer shows it: cameras and telephones note in the file how they were held (EXIF).

    Args:
        file: any format that Pillow reads, with 8 bits per channel.
        size: pixels along each side.
        channels: 3 for colour, 1 for grey.

    Returns:
        Shape (channels, size, size), uint8.

    Raises:
        ValueError: the file is missing, broken, no image, or has more than 8 bits per channel.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415  optional

    try:
        with Image.open(file) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                raise ValueError(f"expected 8 bits per channel, got Pillow's mode {image.mode!r}")
            upright = ImageOps.exif_transpose(image)
            resized = upright.convert(MODES[channels]).resize((size, size), Image.Resampling.BILINEAR)
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
        members: Positions,
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
        self.contents = table.contents[members]
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
        find_copies: compare the files, so that equal pictures of different paths are counted, and a drawn split keeps
            them together.
        outside_root: allow paths that lead out of the root folder.
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
        find_copies: bool = True,
        outside_root: bool = False,
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
        self.find_copies = find_copies
        self.outside_root = outside_root

    @abstractmethod
    def bins(self, labels: Tensor) -> Bins:
        """Bins of all labels, (n,) or (n, k)."""

    def members(self, table: ImageTable) -> Mapping[str, Positions]:
        """Positions of the entries of each split."""
        return table.members()

    def locate(self, path: str) -> Path:
        """File of the image that the CSV file calls ``path``, be it with the backslashes of Windows.

        Raises:
            ValueError: a path that leads out of the root folder, unless ``outside_root``.
        """
        file = self.root / path
        if "\\" in path and not file.is_file():
            file = self.root / path.replace("\\", "/")
        file = Path(os.path.normpath(file)) if ".." in file.parts else file  # else a link could lead elsewhere
        home = os.path.join(os.path.normpath(self.root.absolute()), "")  # noqa: PTH118  of / it is / itself
        if not self.outside_root and not os.path.normpath(file.absolute()).startswith(home):
            raise ValueError(f"expected an image below {self.root}, got the path {path!r} (outside_root allows it)")
        return file

    def load(self) -> Splits:
        """Read the CSV file, check that its images exist, and warn of pictures that it lists more than once.

        Raises:
            FileNotFoundError: no such folder or CSV file.
            ValueError: a row that cannot be used, unless ``skip_bad``; a split without images.
            ImportError: Pillow is not installed.
        """
        bad = BadRows(self.table, skip=self.skip_bad)
        table = self._read(bad)
        bad.finish(len(table.rows) + len(bad.problems))
        members = self._filled_members(table)
        for problem in _copies(table, members):
            warnings.warn(problem, stacklevel=2)
        datasets = {
            split: ImageDataset(table, rows, size=self.size, channels=self.channels, mean=self.mean, std=self.std)
            for split, rows in members.items()
        }
        return Splits(**datasets, bins=self.bins(table.labels))

    def problems(self) -> list[str]:
        """Every row that cannot be used, pictures listed twice, and splits whose sizes are not the published ones.

        Images are decoded only with ``check_images``, as that takes a while.
        """
        bad = BadRows(self.table, skip=True)
        sizes: dict[str, int] = {}
        others: list[str] = []
        try:
            table = self._read(bad)
            members = self._filled_members(table)
            sizes = {split: len(rows) for split, rows in members.items()}
            others += _copies(table, members)
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
        table.compare = self.find_copies
        return _readable(table, bad) if self.check_images else table

    def _filled_members(self, table: ImageTable) -> Mapping[str, Positions]:
        members = self.members(table) if table.rows else {}
        check_splits_are_filled(self.table, {split: len(rows) for split, rows in members.items()})
        return members


def _copies(table: ImageTable, members: Mapping[str, Positions]) -> list[str]:
    """A sentence on the pictures that a table lists more than once, if there are any."""
    again = np.flatnonzero(table.contents != np.arange(len(table.rows)))
    if len(again) == 0:
        return []
    row, before = table.rows[again[0]], table.rows[table.contents[again[0]]]
    sentence = f"{table.source}: {len(again)} of {len(table.rows)} rows list a picture (path or content) again, first "
    sentence += f"row {row}, after row {before}"
    split_of = np.full(len(table.rows), "", dtype="<U5")
    for split, rows in members.items():
        split_of[rows] = split
    pairs = Counter(zip(split_of[table.contents[again]].tolist(), split_of[again].tolist(), strict=True))
    torn = {f"{first} and {then}": count for (first, then), count in pairs.items() if first != then}
    if not torn:
        return [sentence]
    where = ", ".join(f"{count} in {splits}" for splits, count in torn.items())
    sentence += f"; {sum(torn.values())} of them lie in another split than before ({where}), where a test knows its "
    sentence += (
        "answers from training: leave them out of one of the two, or let the split be drawn, which keeps copies "
    )
    return [f"{sentence}together"]


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
