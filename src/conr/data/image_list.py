"""Lists of image files with their labels: CSV files, read row by row, and pictures that stand in them twice."""

import csv
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conr._checks import check_choice
from conr._hints import option
from conr._numbers import parse_number
from conr._progress import working
from conr.data.picture_files import PictureFile, ZipMember, file_size
from conr.density.splits import SPLITS, Positions
from conr.tables.bad_rows import BadRows

_END = 4096  # bytes


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
        compare: whether files of different paths may be read to find those of the same content.
    """

    source: Path
    rows: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    files: list[PictureFile] = field(default_factory=list)
    labels: Tensor = field(default_factory=lambda: torch.zeros(0))
    splits: list[str] = field(default_factory=list)
    compare: bool = True

    @cached_property
    def contents(self) -> Positions:
        """Position of the first entry with the same picture, for each entry, shape (n,): the same file or bytes."""
        with working(
            f"looking for copies among {len(self.files):,} pictures ({option('find_copies', 'false')} skips it)"
        ):
            return first_copies(self.files, compare=self.compare)

    def members(self) -> dict[str, Positions]:
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
            compare=self.compare,
        )


def read_image_table(source: Path, columns: Columns, bad: BadRows, locate: Callable[[str], Path]) -> ImageTable:
    """Read a CSV file with a header line; rows that cannot be used go to ``bad``. Semicolons or tabs may be its commas.

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
        try:
            file = locate(path)
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
            for mark in ";\t,":
                file.seek(0)
                reader = csv.reader(file, delimiter=mark)
                header = [name.strip() for name in next(reader, [])]
                if set(names) <= set(header):
                    break
            if not any(header):
                raise ValueError(f"{source}: expected a header with {', '.join(names)}, got none")
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
        raise ValueError(f"{source}: expected a CSV file in UTF-8, got a broken one: {error}") from error


def _label(name: str, cell: str, columns: Columns) -> float:
    try:
        number = parse_number(cell)
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


def first_copies(files: Sequence[PictureFile], *, compare: bool = True) -> Positions:
    """Find files that are there more than once: by path, or with identical bytes.

    Args:
        files: paths of existing files, or members of archives.
        compare: whether files are read; else only equal paths are found.

    Returns:
        Position of the first file with the same content, for each file, shape (n,).

    Raises:
        OSError: a file that cannot be read.

    Notes:
        Only files of equal size are read, and only those whose ends agree are read as a whole; of archives only members
        of equal size and checksum.
    """
    first: dict[PictureFile, int] = {}
    for position, file in enumerate(files):
        first.setdefault(file, position)
    if compare:
        sizes = {file: file_size(file) for file in first}
        groups: list[list[PictureFile]] = [
            [file for file, size in sizes.items() if size]
        ]  # an empty file is no picture
        for key in (sizes.__getitem__, _end, _digest):
            groups = [group for one in groups for group in _equal(one, key)]
        for group in groups:
            first |= dict.fromkeys(group, min(first[file] for file in group))
    return np.array([first[file] for file in files], dtype=np.int64)


def _equal(files: Sequence[PictureFile], key: Callable[[PictureFile], object]) -> list[list[PictureFile]]:
    """Groups of two or more files with the same key."""
    by_key: dict[object, list[PictureFile]] = {}
    for file in files:
        by_key.setdefault(key(file), []).append(file)
    return [group for group in by_key.values() if len(group) > 1]


def _end(file: PictureFile) -> int:
    """Hash of the end of a file, where compressed pictures of one size differ; of a member, its checksum."""
    if isinstance(file, ZipMember):
        return file.crc
    with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
        opened.seek(-min(_END, os.fstat(opened.fileno()).st_size), os.SEEK_END)
        return hash(opened.read(_END))


def _digest(file: PictureFile) -> bytes:
    if isinstance(file, ZipMember):
        return hashlib.blake2b(file.read()).digest()
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").digest()
