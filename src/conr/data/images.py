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

from conr._auto import AUTO, Auto, given, number
from conr._checks import check_number
from conr._extras import require
from conr._hints import switch
from conr.data.dataset import RegressionDataset, Splits
from conr.data.decoding import MODES, read_image, usual_size
from conr.data.image_list import Columns, ImageTable, read_image_table
from conr.data.module import RegressionData
from conr.data.picture_files import PictureFile, fingerprint
from conr.data.pictures import Pictures, Prepared, cache_bytes, prepared_path, read_prepared, write_prepared
from conr.density import Bins
from conr.density.splits import Positions
from conr.runs.outputs import evenly_chosen
from conr.tables.bad_rows import BadRows, check_splits_are_filled

_SIZED = 32  # images that are looked at for the size "auto"


class UnreadableImageError(ValueError):
    """An image that cannot be decoded; the message names the file that lists it, the row and the image.

    A loading process hands its message over with a traceback around it. That is left out again, so that the error of a
    training run is the same one sentence with any number of processes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


class _Decoder:
    """Decodes the images of a table; an error names the table, the row and the image."""

    def __init__(self, table: ImageTable, size: int, channels: int) -> None:
        self.source, self.files, self.rows = table.source, table.files, table.rows
        self.size = size
        self.channels = channels

    def __call__(self, position: int) -> Tensor:
        try:
            return read_image(self.files[position], size=self.size, channels=self.channels)
        except ValueError as error:
            raise UnreadableImageError(
                f"{self.source}, row {self.rows[position]}: expected a readable image at {self.files[position]}: "
                f"{error} ({switch('check_images')} looks for such rows before training, "
                f"{switch('skip_bad')} leaves them out)"
            ) from error


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
        pictures: decoded images of the table, which the splits of a dataset share; None decodes at every access.
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
        pictures: Pictures | None = None,
    ) -> None:
        self.members = members
        self.labels = table.labels[torch.from_numpy(members)]
        self.ids = [table.paths[member] for member in members]
        self.contents = table.contents[members]
        self.pictures = listed_pictures(table, size, channels) if pictures is None else pictures
        self.mean = _per_channel("mean", mean, channels)
        self.std = _per_channel("std", std, channels)
        if not (self.std > 0).all():
            raise ValueError(f"std: expected positive numbers, got {std}")

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Several samples at once, as loaders ask for a batch."""
        chosen = np.asarray(indices, dtype=np.int64)
        images = (self.pictures.read(self.members[chosen]) / 255 - self.mean) / self.std  # (m, channels, size, size)
        return list(zip(images, self.labels[torch.from_numpy(chosen)], strict=True))


def listed_pictures(table: ImageTable, size: int, channels: int, *, limit: int = 0) -> Pictures:
    """Images of a table, none of them decoded yet; all are kept in memory if they have at most ``limit`` bytes."""
    return Pictures(len(table.rows), _Decoder(table, size, channels), shape=(channels, size, size), limit=limit)


class ImageData(RegressionData):
    """Base of datasets whose CSV file lists images and labels: a subclass says how rows are split, and the bins.

    Args:
        root: folder below which the images lie.
        table: the CSV file; a relative path starts at ``root``.
        columns: what is read of it.
        size: pixels along each side, to which images are resized; "auto" is their own size, at most 224.
        channels: 3 for colour, 1 for grey.
        mean: of the pixels, to normalise by.
        std: deviation of the pixels, to normalise by.
        cache: GiB of decoded images that are kept in memory at most, one byte per pixel and channel; if all of them are
            more, none is kept, as with 0. "auto" is 2, or a quarter of the machine's memory if that is less.
        skip_bad: leave out rows that cannot be used, and warn of how many, instead of stopping at the first.
        check_images: decode every image when loading, so that unreadable ones are found before training.
        find_copies: compare the files, so that equal pictures of different paths are counted, and a drawn split keeps
            them together.
        outside_root: allow paths that lead out of the root folder.
        batch_size: images per batch.
        num_workers: processes that load batches; images in memory need none.
    """

    table_hint = ""

    def __init__(
        self,
        *,
        root: str | Path,
        table: str | Path,
        columns: Columns,
        size: int | Auto,
        channels: int = 3,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.5,
        cache: float | Auto = AUTO,
        skip_bad: bool = False,
        check_images: bool = False,
        find_copies: bool = True,
        outside_root: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_number("size", given(size), low=1)
        cache_bytes(cache)  # refuses other words now
        if channels not in MODES:
            raise ValueError(f"channels: expected 1 or 3, got {channels}")
        self.root = Path(root)
        self.table = self.root / table
        self.columns = columns
        self.size = size
        self.channels = channels
        self.mean = mean
        self.std = std
        self.cache = cache
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

    def training_rows(self, table: ImageTable, rows: Positions) -> Positions:  # noqa: ARG002  for datasets that draw
        """Positions of the entries of the training split that are trained on; all of them by default."""
        return rows

    def listed(self, bad: BadRows) -> ImageTable:
        """The images and their labels as the CSV file has them; rows that cannot be used go to ``bad``.

        Raises:
            FileNotFoundError: no such folder or CSV file.
            ValueError: a row that cannot be used, unless ``bad`` skips such rows.
        """
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: expected the folder of the images, found no folder {self.root}")
        if not self.table.is_file():
            raise FileNotFoundError(f"expected the list of images at {self.table}, found none{self.table_hint}")
        return read_image_table(self.table, self.columns, bad, self.locate)

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
            raise ValueError(
                f"expected an image below {self.root}, got the path {path!r} ({switch('outside_root')} allows it)"
            )
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
        pictures = self._prepared_or_listed(table)
        members = self._filled_members(table)
        for problem in self.repeats(table, members):
            warnings.warn(problem, stacklevel=2)
        self._pictures, self._table = pictures, table
        size, train = self.picture_size(), self.training_rows(table, members["train"])
        datasets = {
            split: ImageDataset(
                table, rows, size=size, channels=self.channels, mean=self.mean, std=self.std, pictures=pictures
            )
            for split, rows in {**members, "train": train}.items()
        }
        return Splits(**datasets, bins=self.bins(table.labels))

    def picture_size(self) -> int:
        """Pixels along each side of the images as they are trained on.

        Raises:
            FileNotFoundError, ValueError: as `load`, with size "auto".
        """
        if self.size == AUTO:
            files = self._read(BadRows(self.table, skip=True)).files
            self.size = usual_size([files[position] for position in evenly_chosen(len(files), _SIZED)])
        return number("size", self.size)

    def repeats(self, table: ImageTable, members: Mapping[str, Positions]) -> list[str]:
        """Sentences on pictures that are listed more than once; none if there are none."""
        return _copies(table, members)

    def prepare_files(self) -> list[Path]:
        """Write all images as they are trained on into one file, which spares decoding them in every later run.

        The file lies in ``$XDG_CACHE_HOME/conr/pictures`` or ``~/.cache/conr/pictures`` and may be deleted at any time.
        Images that are more than ``cache`` are not kept, and nothing is written.

        Raises:
            ValueError, OSError, ImportError: as `load`, an image that cannot be decoded, or a disk that is full.
        """
        self.splits  # noqa: B018  loads on first use
        path = self._prepared_path(self._table)
        if not self._pictures.keeps or read_prepared(path, self._pictures.shape) is not None:
            return []
        return [write_prepared(path, Prepared(self._pictures.all(), self._table.contents))]

    def loading_processes(self, dataset: RegressionDataset) -> int:
        """None for images in memory, which are decoded now, once; ``num_workers`` for others."""
        if not (isinstance(dataset, ImageDataset) and dataset.pictures.keeps):
            return self.num_workers
        dataset.pictures.fill(dataset.members)
        return 0

    def _prepared_path(self, table: ImageTable) -> Path:
        settings = f"conr.pictures/1 {self.picture_size()} {self.channels} {self.find_copies}"
        return prepared_path(fingerprint(table.files, table.paths, settings))

    def _prepared_or_listed(self, table: ImageTable) -> Pictures:
        pictures = listed_pictures(table, self.picture_size(), self.channels, limit=cache_bytes(self.cache))
        prepared = read_prepared(self._prepared_path(table), pictures.shape) if pictures.keeps else None
        if prepared is not None:
            pictures.put(prepared.pixels)
            table.contents = prepared.contents
        return pictures

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
            others += self.repeats(table, members)
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
        table = self.listed(bad)
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
    sentence += f"; {sum(torn.values())} of them lie in another split than before ({where}), so training sees test "
    sentence += "answers: leave them out of one of the two, or let the split be drawn, which keeps copies together"
    return [sentence]


def _readable(table: ImageTable, bad: BadRows) -> ImageTable:
    def problem_of(file: PictureFile) -> str | None:
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
    for one in numbers:
        check_number(name, one)
    return torch.tensor(numbers).view(channels, 1, 1)
