"""Files and folders that appear complete or not at all."""

import contextlib
import csv
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file that appears complete or not at all, and return its path.

    Args:
        path: the file.
        write: called with the open file.

    Raises:
        OSError: the file cannot be written, as on a full or read-only disk; the message names it, and an earlier one is
            then still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error  # a write itself does not know its file
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text in UTF-8 that appears complete or not at all, and return its path.

    Args:
        path: the file.
        text: its content.
    """
    return write_whole(path, lambda file: file.write(text.encode()))


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compress: bool = False) -> Path:
    """Write a NumPy archive (.npz) of arrays by name, as `write_whole`; ``compress`` makes it smaller and slower."""
    content = io.BytesIO()  # an archive that a full disk breaks off cannot be closed
    save: Any = np.savez_compressed if compress else np.savez
    save(content, **arrays)
    return write_whole(path, lambda file: file.write(content.getbuffer()))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a table as CSV that a spreadsheet may open, as `write_whole`; None is an empty cell.

    A text that a spreadsheet would take for a formula, because it begins with ``=``, ``+``, ``-``, ``@``, a tab or a
    carriage return and is no number, gets an apostrophe in front, which shows it as text.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_shown(cell) for cell in row] for row in (header, *rows))
    return write_text(path, text.getvalue())


def _shown(cell: object) -> object:
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def free_path(path: Path) -> Path:
    """The path itself if nothing is there, else the first of ``NAME-2``, ``NAME-3``, ... that is free.

    The number goes before the ending of a file, ``NAME-2.csv``. What is there as a folder has no ending.
    """
    candidate, attempt = path, 1
    while os.path.lexists(candidate):
        attempt += 1
        name = f"{path.name}-{attempt}" if path.is_dir() else f"{path.stem}-{attempt}{path.suffix}"
        candidate = path.with_name(name)
    return candidate


def write_folder(folder: Path, write: Callable[[Path], object]) -> Path:
    """Make a folder that appears with all its files or not at all, and return its path.

    Where another process has made one of that name meanwhile, it takes the next free name, so that no work is lost.

    Args:
        folder: a new one.
        write: called with the folder that becomes it, to write the files.

    Raises:
        OSError: the folder or a file cannot be written; the message names one of them.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write(temporary)
        temporary.chmod(0o755)
        folder = free_path(folder)
        temporary.rename(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(folder)) from error  # a write does not know its file
        raise
    return folder
