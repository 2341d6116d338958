"""Files of NYUD2-DIR: lists of pairs, scaled and cropped images and depths, depth counts, the test mask."""

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from conr._checks import check_number
from conr._hints import switch
from conr.data.images import UnreadableImageError
from conr.density import Bins
from conr.runs.atomic import write_arrays
from conr.runs.reading import read_arrays
from conr.tables.bad_rows import BadRows

Array = NDArray[Any]

MOST_METRES = 10.0
BUCKETS = Bins.by_width(width=0.1, low=0, high=MOST_METRES, clamp=True)
FIRST_BUCKET = 7
"""Buckets before it are not evaluated, and get the weight of this one."""


class Coding(NamedTuple):
    """Encoding of metres in a depth file: the modes of Pillow that it may have, and the scale of its numbers."""

    modes: tuple[str, ...]
    level: np.float32
    metres_at_level: np.float32

    def metres(self, levels: Array) -> Array:
        """Depths in metres, float32; the number 0 is no depth and becomes NaN."""
        depths = levels.astype(np.float32) / self.level * self.metres_at_level
        return np.where(levels > 0, depths, np.float32(np.nan))


TRAIN_CODING = Coding(("L",), np.float32(255), np.float32(MOST_METRES))
TEST_CODING = Coding(("I;16", "I"), np.float32(1000), np.float32(1))


class Pair(NamedTuple):
    """An image with its depth, as a row of a list names them."""

    source: Path  # the list
    row: int  # in the list, from 1, as a person counts
    position: int  # among the rows that are not empty, from 0
    name: str  # path of the image as in the list, without its ending
    image: Path
    depth: Path

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let an error say which row of which list it is about."""
        try:
            yield
        except ValueError as error:
            raise UnreadableImageError(
                f"{self.source}, row {self.row}: {error} ({switch('check_images')} looks for such rows before "
                f"training, {switch('skip_bad')} leaves them out)"
            ) from error


def read_pairs(source: Path, root: Path, bad: BadRows) -> list[Pair]:
    """Read a list of pairs: a CSV file without header, in each row the paths, from ``root``, of an image and its depth.

    Rows without two cells, or whose files do not exist, go to ``bad``.

    Raises:
        FileNotFoundError: no such list.
        ValueError: a list that is no CSV file in UTF-8, or a bad row that is not to be skipped.
    """
    if not source.is_file():
        raise FileNotFoundError(f"expected the list of images and depths at {source}, found none")
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = [(row, [cell.strip() for cell in cells]) for row, cells in enumerate(csv.reader(file), 1) if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{source}: expected a CSV file in UTF-8, got a broken one: {error}") from error
    pairs = []
    for position, (row, cells) in enumerate(rows):
        files = [root / cell for cell in cells]
        missing = [file for file in files if not file.is_file()]
        if len(cells) != 2:
            bad.add(row, f"expected the paths of an image and of its depth, got {len(cells)} cells")
        elif missing:
            bad.add(row, f"expected a file at {missing[0]}, found none")
        else:
            pairs.append(Pair(source, row, position, str(Path(cells[0]).with_suffix("")), *files))
    return pairs


@dataclass(frozen=True)
class Frame:
    """Scaling and cropping of files: the shorter side to ``short_side``, then ``height`` x ``width`` of the centre."""

    short_side: int = 240
    height: int = 228
    width: int = 304

    def __post_init__(self) -> None:
        for name in ("short_side", "height", "width"):
            check_number(name, getattr(self, name), low=1)

    def read(self, pair: Pair, coding: Coding) -> tuple[Array, Array]:
        """Decode a pair: the image (height, width, 3), uint8, bilinear; the depth (height, width) as filed, nearest.

        Raises:
            ValueError: a file that is broken or no image, a depth of another mode, image and depth of different sizes,
                or too small ones; the message names the file.
        """
        from PIL import Image  # noqa: PLC0415  optional

        image, depth = _decoded(pair.image), _decoded_depth(pair.depth, coding)
        if image.size != depth.size:
            sizes = " and ".join("{} x {}".format(*one.size) for one in (image, depth))
            raise ValueError(f"expected image and depth of one size in {pair.image} and {pair.depth}, got {sizes}")
        scaled, box = self._place(image.size, pair.image)
        colors = image.convert("RGB").resize(scaled, Image.Resampling.BILINEAR).crop(box)
        return np.array(colors), _nearest(depth, scaled, box)

    def read_depth(self, pair: Pair, coding: Coding) -> Array:
        """The depth of `read` alone; the image is not opened."""
        depth = _decoded_depth(pair.depth, coding)
        return _nearest(depth, *self._place(depth.size, pair.depth))

    def _place(self, size: tuple[int, int], file: Path) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """Size after scaling, and left, upper, right and lower border of the crop; widths come first, as in Pillow."""
        width, height = size
        scaled = int(self.short_side * width / min(size)), int(self.short_side * height / min(size))
        if scaled[0] < self.width or scaled[1] < self.height:
            raise ValueError(
                f"expected at least {self.width} x {self.height} pixels once the shorter side of {file} is "
                f"{self.short_side}, got {scaled[0]} x {scaled[1]}"
            )
        left, top = round((scaled[0] - self.width) / 2), round((scaled[1] - self.height) / 2)
        return scaled, (left, top, left + self.width, top + self.height)


def _decoded(file: Path) -> Any:
    from PIL import Image  # noqa: PLC0415  optional

    try:
        with Image.open(file) as image:
            image.load()
            return image
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"expected a readable image at {file}: {error}") from error


def _decoded_depth(file: Path, coding: Coding) -> Any:
    depth = _decoded(file)
    if depth.mode not in coding.modes:
        expected = " or ".join(map(repr, coding.modes))
        raise ValueError(f"expected a depth of Pillow's mode {expected} at {file}, got {depth.mode!r}")
    return depth


def _nearest(depth: Any, scaled: tuple[int, int], box: tuple[int, int, int, int]) -> Array:
    left, top, right, bottom = box
    columns = nearest_index(depth.width, scaled[0])[left:right]
    rows = nearest_index(depth.height, scaled[1])[top:bottom]
    levels: Array = np.asarray(depth)[rows[:, None], columns]
    return levels


def nearest_index(size: int, wanted: int) -> Array:
    """Source pixel, of ``size``, of each of ``wanted`` pixels, as in Pillow's nearest-neighbour resize."""
    index: Array = np.floor((np.arange(wanted) + 0.5) * (size / wanted)).astype(np.int64)
    return index


def buckets(levels: Array, coding: Coding) -> Array:
    """Depth bucket of each level of a depth file, uint8; 255 where there is no depth.

    Equal, for every level that a file can have, to the rule of the benchmark: min(int(depth * 10), 99) in float32.
    """
    known = np.unique(levels)
    index = BUCKETS.index(torch.from_numpy(np.nan_to_num(coding.metres(known))), check=False).numpy()
    index = np.where(known > 0, index, 255).astype(np.uint8)
    found: Array = index[np.searchsorted(known, levels)]
    return found


def count_buckets(pairs: Sequence[Pair], frame: Frame, coding: Coding) -> Array:
    """Pixels of each depth bucket in each pair, int64, shape (pairs, buckets); every depth file is read once.

    Raises:
        ValueError: a depth that cannot be read; the message names the list, the row and the file.
    """
    found = _buckets_of(pairs, frame, coding)
    return np.stack([np.bincount(one.reshape(-1), minlength=256)[: len(BUCKETS)] for one in found])


def _buckets_of(pairs: Sequence[Pair], frame: Frame, coding: Coding) -> Iterator[Array]:
    def read(pair: Pair) -> Array:
        with pair.named():
            return buckets(frame.read_depth(pair, coding), coding)

    return in_threads(read, pairs)


def balanced_mask(pairs: Sequence[Pair], rows: int, frame: Frame, coding: Coding, *, seed: int) -> Array:
    """Test pixels such that each depth bucket from ``FIRST_BUCKET`` on has equally many: as many as the rarest has.

    The benchmark's rule with a seed; buckets without any test pixel are left out. uint8, 1 for a chosen pixel, shape
    (rows, height, width).

    Args:
        pairs: of the test.
        rows: rows of the list that are not empty, of which some may be left out of ``pairs``.
        frame: scaling and crop.
        coding: of the depth files.
        seed: of the draw.

    Raises:
        ValueError: a depth that cannot be read, or no pixel in any bucket.
    """
    found = np.full((rows, frame.height, frame.width), 255, dtype=np.uint8)
    for pair, one in zip(pairs, _buckets_of(pairs, frame, coding), strict=True):
        found[pair.position] = one
    flat = found.reshape(-1)
    counts = np.bincount(flat, minlength=256)[FIRST_BUCKET : len(BUCKETS)]
    if not counts.any():
        raise ValueError(f"expected test pixels of at least {BUCKETS.edges[0][FIRST_BUCKET]:g} m, got none")
    random = np.random.default_rng(seed)
    mask = np.zeros(len(flat), dtype=np.uint8)
    for bucket in np.flatnonzero(counts) + FIRST_BUCKET:
        mask[random.choice(np.flatnonzero(flat == bucket), counts[counts > 0].min(), replace=False)] = 1
    return mask.reshape(found.shape)


def in_threads(work: Callable[[Pair], Any], pairs: Sequence[Pair]) -> Iterator[Any]:
    """Results of some work on files, in order; Pillow decodes outside of Python's lock."""
    pool = ThreadPoolExecutor()
    try:
        yield from pool.map(work, pairs)
    finally:
        pool.shutdown(cancel_futures=True)


def write_depth_counts(file: Path, pairs: Sequence[Pair], counts: Array, frame: Frame) -> None:
    """Keep what `count_buckets` found."""
    names = np.array([pair.name for pair in pairs])
    size = np.array([frame.short_side, frame.height, frame.width])
    write_arrays(file, {"names": names, "counts": counts.astype(np.uint32), "frame": size}, compress=True)


def read_depth_counts(file: Path, pairs: Sequence[Pair], frame: Frame) -> Array | None:
    """Counts that `write_depth_counts` kept for these pairs; None without a file of these pairs and sizes."""
    if not file.is_file():
        return None
    names, counts, size = read_arrays(file, ("names", "counts", "frame")).values()
    place = {name: position for position, name in enumerate(names.tolist())}
    known = all(pair.name in place for pair in pairs)
    if not known or size.tolist() != [frame.short_side, frame.height, frame.width]:
        return None
    found: Array = counts[[place[pair.name] for pair in pairs]].astype(np.int64)
    return found
