"""Tables in files: CSV, also compressed, and Parquet."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Number
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conr._checks import check_choice
from conr._extras import require
from conr._hints import option
from conr.tables.bad_rows import BadRows
from conr.tables.blocks import read_columns
from conr.tables.dates import FIRST
from conr.tables.dialect import INVISIBLE, MOST_LINES, found_dialect
from conr.tables.text_encoding import found_encoding

FEWEST_BYTES = 2**20
"""A smaller file keeps all texts as they are written; of a larger one, columns of plain numbers are only numbers."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # a terminal would obey them
_REMARK = re.compile(rb"(?:^|[\r\n])[ \t\0]*#")
_MOST_BYTES = 2**32  # of a compressed file's content
_COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_OTHERS = {
    **dict.fromkeys((b'{"', b"[{", b"[["), "JSON"),
    **dict.fromkeys((b"<!doctypehtml", b"<html", b"<table", b"<!--"), "HTML"),
    b"<?xml": "XML",
    b"%pdf": "a PDF",
    b"{\\rtf": "a document",
    b"sqliteformat3": "a database",
    b"\x89hdf": "an HDF5 file",
    b"\x93numpy": "an array of NumPy",
    b"<stata_dta": "a Stata file",
    b"$fl2": "an SPSS file",
    b"obj\x01": "an Avro file",
    b"arrow1": "a Feather file",
    b"\x89png": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"(\xb5/\xfd": "a file packed by Zstandard",
    b"7z\xbc\xaf": "a 7z archive",
    b"rar!": "a RAR archive",
}
"""Beginnings, in lower case and without spaces, of files of other kinds."""

Column = NDArray[Any]
"""Shape (n,): float64 with NaN for what is missing, or Python strings with None for it."""


@dataclass(frozen=True)
class FileFormat:
    """Form of a CSV file.

    Args:
        header: whether the first row holds the names; if not, they are ``column-1``, ``column-2``, ...
        separator: a name or character of ``SEPARATORS``, or another character; detected if None.
        encoding: if None, what its byte order mark says, else UTF-8, else Windows-1252 (Latin-1's letters are part of
            it).
        decimal: decimal mark, "." or ","; detected if None.
        dates: "day-first", "month-first" or "year-first" where dates may be either, "none" for no columns of dates.

    Raises:
        ValueError: an unknown word.
    """

    header: bool = True
    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    dates: str | None = None

    def __post_init__(self) -> None:
        check_choice("decimal", self.decimal or ".", (".", ","))
        check_choice("dates", self.dates or "none", (*FIRST, "none"))


class RawTable(NamedTuple):
    """Content of a file as it was read.

    Attributes:
        names: of the columns, each once.
        columns: one array per name, shape (n,) each; of a CSV file texts, None for what is missing.
        row_numbers: of each row in the file as a person counts, shape (n,), int64.
        unnamed: names that were made up for columns without one.
        written: what was said of the file.
        likely_decimal: that of other columns, for a column whose numbers do not tell.
        notes: sentences on lines that were passed over.
    """

    names: list[str]
    columns: list[Column]
    row_numbers: NDArray[np.int64]
    unnamed: frozenset[str] = frozenset()
    written: FileFormat = FileFormat()
    likely_decimal: str | None = None
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> Column:
        """The values of a column."""
        return self.columns[self.names.index(name)]

    def repeated(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Mask of the rows that repeat an earlier one in some columns, shape (n,); by hashes of 64 bits."""
        hashes = np.zeros(len(self.row_numbers), dtype=np.uint64)
        for name in names:
            column = self.column(name)
            if column.dtype == object:
                own = np.fromiter(map(hash, column), dtype=np.int64, count=len(column)).view(np.uint64)
            else:
                own = (column.astype(np.float64) + 0.0).view(np.uint64)  # 0 and -0 are one number
            hashes = (hashes ^ own) * np.uint64(0x9E3779B97F4A7C15)
            hashes ^= hashes >> np.uint64(32)
        ordered = np.sort(hashes)
        if (ordered[1:] != ordered[:-1]).all():  # far faster than where they first stand
            return np.zeros(len(hashes), dtype=bool)
        again = np.ones(len(hashes), dtype=bool)
        again[np.unique(hashes, return_index=True)[1]] = False
        return again


def read_table(
    path: Path,
    bad: BadRows,
    written: FileFormat | None = None,
    *,
    texts: Callable[[list[str]], Collection[str]] = lambda _: (),
) -> RawTable:
    """Read a CSV or Parquet file; its content shows which of them it is.

    A CSV file may be compressed (gzip, bzip2, xz, zip). Lines above the header, such as ``sep=;``, remarks that begin
    with # and titles, are passed over.

    Args:
        path: the file.
        bad: told of rows with too few or too many fields, which are left out.
        written: how a CSV file is written.
        texts: from the names of all columns those whose values are needed as they are written.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no table, or whose dialect is not clear; names that come twice; no rows.
        ImportError: a Parquet file, and pyarrow is not installed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a CSV or Parquet file, found none at {path}")
    written = written or FileFormat()
    content = _unpacked(path, _unpacked(path, path.read_bytes()))  # a packed file in an archive, too
    if content.startswith(b"PAR1"):
        return _read_parquet(path, content)
    content = content.removesuffix(b"\x1a")  # as DOS ends a text
    if not content.strip():
        raise ValueError(f"{path}: expected a table, got an empty file")
    encoding = found_encoding(path, content, written.encoding)

    def opened() -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="")

    foreign: tuple[str, ...] = ()
    if encoding == "cp1252" and written.encoding is None:
        foreign = (f"{path}: not UTF-8, so read as Windows-1252 ({option('encoding')} sets another)",)
    lines = list(islice(opened(), MOST_LINES))
    dialect = found_dialect(path, lines, separator=written.separator, header=written.header)
    names, unnamed = _named(dialect.names)
    _check_names(path, names)
    small = len(content) < FEWEST_BYTES or "," in (written.decimal, dialect.likely_decimal)
    columns, numbers, notes = read_columns(
        path,
        opened,
        dialect,
        bad,
        texts=range(len(names)) if small else [names.index(name) for name in texts(names)],
        remarks=b"#" in content and _REMARK.search(content) is not None,
    )
    if len(numbers) == 0:
        raise ValueError(f"{path}: expected rows below the header, got none")
    return RawTable(
        names,
        columns,
        numbers,
        unnamed=unnamed,
        written=written,
        likely_decimal=dialect.likely_decimal,
        notes=(*foreign, *dialect.notes, *notes),
    )


def _unpacked(path: Path, content: bytes) -> bytes:
    """The content of a file, or of the one file in an archive."""
    try:
        for mark, opened in _COMPRESSED.items():
            if content.startswith(mark):
                with opened(io.BytesIO(content)) as file:
                    return _limited(path, file.read(_MOST_BYTES + 1))
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [one.filename for one in archive.infolist() if not one.is_dir()]
                if "[Content_Types].xml" not in names and "mimetype" not in names:
                    names = [name for name in names if not re.search(r"^__MACOSX/|(?:^|/)\.[^/]*$", name)]
                    if len(names) != 1:
                        raise ValueError(f"{path}: expected one file in the archive, got {len(names)}")
                    with archive.open(names[0]) as file:
                        return _limited(path, file.read(_MOST_BYTES + 1))
    except (
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise ValueError(f"{path}: expected a complete archive, got a broken one: {error}") from error
    if content.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise ValueError(f"{path}: expected a CSV or Parquet file, got a spreadsheet: export it as CSV first")
    _check_kind(path, content)
    return content


def _check_kind(path: Path, content: bytes) -> None:
    """Refuse a file of another kind, by its beginning."""
    start = b"".join(content[:200].removeprefix(codecs.BOM_UTF8).split()).lower()
    if start.startswith(b"versionhttps://git-lfs"):
        raise ValueError(f"{path}: expected a CSV or Parquet file, got Git LFS's reference to one: fetch it first")
    for mark, kind in _OTHERS.items():
        if start.startswith(mark):
            raise ValueError(f"{path}: expected a CSV or Parquet file, got {kind}: export it as CSV first")


def _limited(path: Path, content: bytes) -> bytes:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path}: expected at most {_MOST_BYTES} bytes in the archive, got more")
    return content


def _named(given: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """A name for each column, and those that are made up because there was none."""
    own = [unicodedata.normalize("NFC", _CONTROLS.sub("", name).strip(INVISIBLE)) for name in given]
    made = {position: f"column-{position + 1}" for position, name in enumerate(own) if not name}
    return [made.get(position, name) for position, name in enumerate(own)], frozenset(made.values())


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: expected each column's name once, got {twice[0]!r} twice: rename one")


def _read_parquet(path: Path, content: bytes) -> RawTable:
    require("conr.data.Table, to read Parquet,", "pyarrow")
    import pyarrow as pa  # noqa: PLC0415  optional
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: expected a complete Parquet file, got a broken one: {error}") from error
    if table.num_rows == 0:
        raise ValueError(f"{path}: expected rows, got none")
    names, unnamed = _named(table.column_names)
    _check_names(path, names)
    columns = [_arrow_column(column) for column in table.columns]
    return RawTable(names, columns, np.arange(1, table.num_rows + 1), unnamed=unnamed)


def _arrow_column(column: Any) -> Column:
    import pyarrow as pa  # noqa: PLC0415  optional

    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.timestamp("s"), safe=False)).astype("datetime64[s]")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    if pa.types.is_duration(column.type):  # as seconds
        column = pa.compute.divide(column.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64()), 1e6)
        return np.asarray(column.to_numpy(), dtype=np.float64)
    values = column.to_pylist()
    if all(value is None or isinstance(value, Number) for value in values):  # truth values count as 0 and 1
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    texts = np.empty(len(values), dtype=object)
    texts[:] = [None if value is None else str(value) for value in values]
    return texts
