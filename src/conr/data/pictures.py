"""Decoded pictures as bytes: kept in memory where they fit, and in a file that spares decoding them again."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from conr._auto import AUTO, Auto
from conr._checks import check_number
from conr.data.embedding_cache import default_cache_folder
from conr.density.splits import Positions
from conr.runs.atomic import write_whole

GIB = 2**30
AUTO_LIMIT = 2 * GIB
"""Most bytes that are kept without being asked for; on a small machine a quarter of its memory."""


def cache_bytes(cache: float | Auto) -> int:
    """The limit that an option ``cache`` stands for.

    Args:
        cache: GiB, 0 for none; "auto" for 2, or a quarter of the machine's memory if that is less.

    Raises:
        TypeError, ValueError: neither "auto" nor a number of at least 0.
    """
    if cache == AUTO:
        try:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):  # not on every system
            return AUTO_LIMIT
        return min(AUTO_LIMIT, memory // 4)
    check_number("cache", cache, low=0)
    return int(cache * GIB)


_CHUNK = 64  # pictures that a thread decodes at a time


class Pictures:
    """Pictures of a list, each decoded when it is asked for first, and then kept if all of them fit into memory.

    Args:
        count: how many there are.
        decode: pixels of the picture at a position, uint8 of ``shape``.
        shape: (channels, size, size) of every picture.
        limit: bytes; if all pictures together have more, none is kept.

    Attributes:
        keeps: whether pictures are kept.

    Notes:
        A loading process keeps nothing, but sees what was kept when it was started where processes share memory.
    """

    def __init__(self, count: int, decode: Callable[[int], Tensor], *, shape: tuple[int, int, int], limit: int) -> None:
        self.shape = (count, *shape)
        self.keeps = 0 < self.nbytes <= limit
        self._decode = decode
        self._pixels: NDArray[np.uint8] | None = None  # a tensor that inference makes could not be filled later
        self._is_known = np.zeros(count, dtype=bool)

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures."""
        return int(np.prod(self.shape))

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_pixels": None, "_is_known": np.zeros(self.shape[0], dtype=bool)}

    def read(self, positions: Sequence[int] | Positions) -> Tensor:
        """Pixels of some pictures, shape (m, channels, size, size), uint8.

        Raises:
            ValueError: as ``decode``.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        unknown = np.unique(chosen[~self._is_known[chosen]]).tolist()
        if unknown and (not self.keeps or get_worker_info() is not None):  # nobody would share a worker's memory
            return torch.stack([self._decode(position) for position in chosen.tolist()])
        for position in unknown:
            self._keep(position)
        return torch.from_numpy(self._memory()[chosen])

    def fill(self, positions: Positions) -> None:
        """Decode those of some pictures that are not known yet, in as many threads as there are cores.

        Raises:
            ValueError: as ``decode``, for the first picture in the order of the positions.
        """
        waiting = positions[~self._is_known[positions]].tolist()
        if not waiting:
            return
        self._memory()
        pool = ThreadPoolExecutor(os.cpu_count())  # Pillow decodes outside of Python's lock
        try:
            for _ in pool.map(
                self._keep_some, [waiting[start : start + _CHUNK] for start in range(0, len(waiting), _CHUNK)]
            ):
                pass
        finally:
            pool.shutdown(cancel_futures=True)

    def put(self, pixels: NDArray[np.uint8]) -> None:
        """Take the pixels of all pictures, as they were read from a file; shape (count, channels, size, size)."""
        self._pixels = pixels
        self._is_known[:] = True

    def all(self) -> NDArray[np.uint8]:
        """Pixels of all pictures, shape (count, channels, size, size), uint8; decodes what is missing."""
        self.fill(np.arange(self.shape[0]))
        return self._memory()

    def _memory(self) -> NDArray[np.uint8]:
        if self._pixels is None:
            self._pixels = np.empty(self.shape, dtype=np.uint8)
        return self._pixels

    def _keep_some(self, positions: Sequence[int]) -> None:
        for position in positions:
            self._keep(position)

    def _keep(self, position: int) -> None:
        self._memory()[position] = self._decode(position).numpy()
        self._is_known[position] = True


class Prepared(NamedTuple):
    """Content of a prepared file.

    Attributes:
        pixels: shape (count, channels, size, size), uint8.
        contents: position of the first picture with the same content, shape (count,).
    """

    pixels: NDArray[np.uint8]
    contents: Positions


def prepared_path(key: str) -> Path:
    """The file of pictures with a fingerprint: ``$XDG_CACHE_HOME/conr/pictures/KEY.npy``, else below ``~/.cache``."""
    return default_cache_folder().with_name("pictures") / f"{key}.npy"


def read_prepared(path: Path, shape: tuple[int, ...]) -> Prepared | None:
    """The content of a prepared file; None if there is none, or, with a warning, if it is damaged.

    Args:
        path: as `prepared_path` says.
        shape: expected of the pixels.

    Notes:
        Pixels are read from the file when they are used, and processes share them.
    """
    if not path.is_file():
        return None
    try:
        pixels = np.load(path, mmap_mode="c", allow_pickle=False)
        contents = np.load(_contents_path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        warnings.warn(f"{path}: expected prepared pictures, decoding them again: {error}", stacklevel=2)
        return None
    if pixels.shape != shape or pixels.dtype != np.uint8 or contents.shape != shape[:1]:
        got = f"{pixels.dtype} of shape {pixels.shape}"
        warnings.warn(f"{path}: expected uint8 of shape {shape}, decoding them again: got {got}", stacklevel=2)
        return None
    return Prepared(pixels, contents)


def write_prepared(path: Path, prepared: Prepared) -> Path:
    """Write a prepared file, complete or not at all, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(_contents_path(path), lambda file: np.save(file, prepared.contents))
    return write_whole(path, lambda file: np.save(file, prepared.pixels))


def _contents_path(path: Path) -> Path:
    return path.with_suffix(".contents.npy")
